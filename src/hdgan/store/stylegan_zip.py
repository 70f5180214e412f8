"""The training set that StyleGAN's tools and their many descendants read: a ZIP of stored PNGs of one size and `dataset.json`.

Members are `00000/img00000000.png` and so on, a thousand to a folder. `dataset.json` holds `{"labels": [[member, number], ...]}`, or null for labels where
there are none. Ours adds `label_names` (the text of each number) and `mpp`, which other readers pass over.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.errors import BadInput
from hdgan.store.archive import plain_member
from hdgan.store.atomic import encode_png, json_text, replacing

LABELS = "dataset.json"
_LARGEST = 1 << 31
"""Bytes of a member: more is no image but an attack."""


def write_stylegan_zip(
    path: Path, images: Iterable[tuple[np.ndarray, int | None]], *, label_names: Sequence[str] = (), about: Mapping[str, Any] | None = None
) -> int:
    """Writes images `[S, S, 3]` uint8, each with the number of its label or None, in their order; how many. Equal images give equal bytes.

    `about` is put beside the labels.
    """
    labels: list[list[str | int]] = []
    num = 0
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for pixels, label in images:
            name = f"{num // 1000:05d}/img{num:08d}.png"
            archive.writestr(plain_member(name), encode_png(pixels))
            if label is not None:
                labels.append([name, label])
            num += 1
        told = {"labels": labels or None, **({"label_names": list(label_names)} if labels else {}), **(about or {})}
        archive.writestr(plain_member(LABELS), json_text(told))
    return num


class ImageZip:
    """The images in a ZIP, of StyleGAN's layout or any other.

    Raises:
        BadInput: it is no ZIP, or its `dataset.json` is not as described above.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise BadInput(path, f"cannot be read as a ZIP ({error})") from error
        self.members = tuple(sorted(info.filename for info in self._zip.infolist() if not info.is_dir()))

    def read(self, member: str) -> bytes:
        """The bytes of a member.

        Raises:
            BadInput: there is none of that name, it is damaged, or larger than 2 GiB.
        """
        where = f"{self.path}/{member}"
        try:
            if self._zip.getinfo(member).file_size > _LARGEST:
                raise BadInput(where, "has more than 2 GiB", "leave it out")
            return self._zip.read(member)
        except (OSError, KeyError, EOFError, RuntimeError, NotImplementedError, ValueError, zipfile.BadZipFile) as error:
            raise BadInput(where, f"cannot be read ({error})", "copy the ZIP again from its source") from error

    def labels(self) -> dict[str, str]:
        """The label of each member that has one: its name in `label_names`, else its number; of a vector with a single 1, the place of that.

        Raises:
            BadInput: labels are something else.
        """
        if LABELS not in self.members:
            return {}
        try:
            told = json.loads(self.read(LABELS))
            names = told.get("label_names") or []
            return {str(member): _label(value, names) for member, value in told["labels"] or []}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            remedy = 'it should hold {"labels": [["image.png", 0], ...]}, with whole numbers or one-hot vectors'
            raise BadInput(f"{self.path}/{LABELS}", f"is no list of labels ({error!r})", remedy) from error

    def close(self) -> None:
        """Lets go of the file."""
        self._zip.close()


def _label(value: Any, names: Sequence[str]) -> str:
    if isinstance(value, list):
        if sorted(value) != [0] * (len(value) - 1) + [1]:
            raise ValueError(f"{value} is not one-hot")
        value = value.index(1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return str(names[value]) if names else str(value)
