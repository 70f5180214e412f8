"""The identity of a slide's content, at the cost of reading a few MiB of each of its files of gigabytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hdgan.errors import BadInput
from hdgan.slides.dicom import series_files
from hdgan.slides.foreign import INDEX_FILES
from hdgan.store.hashing import hash_file, hash_json

_WHOLE_UP_TO = 64 << 20
_MIB = 1 << 20
_LONGEST_INDEX = 1 << 22
_OF_PIXELS = ("ImageFile", "MapFile")
"""Keys of a VMS or VMU index, some with a place after them; other files beside it are pictures of the label and lists of places."""


def content_hash(path: Path) -> str:
    """`sha256:` and the hash of a file up to 64 MiB; of a larger one `sampled:` and that of its size, first, middle and last MiB.

    A sampled hash tells slides apart and sees truncation; it does not see every damaged byte. A MIRAX slide's folder
    of data files counts by the names and sizes in it. A DICOM slide of several files, and a VMS or VMU slide with the images that its index
    names, have one hash over those of all, whichever file of a series names it.

    Raises:
        BadInput: a file cannot be read.
    """
    try:
        parts = [path, *_indexed(path)] if path.suffix.lower() in INDEX_FILES else series_files(path)
        if len(parts) < 2:
            return _of_file(path, _data_files(path))
        hashes = sorted(_of_file(part, []) for part in parts)  # however they are called
        kind = "sampled" if any(one.startswith("sampled:") for one in hashes) else "sha256"
        return f"{kind}:{hash_json(hashes)}"
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error})") from error


def _of_file(path: Path, beside: list[tuple[str, int]]) -> str:
    size = path.stat().st_size
    if size <= _WHOLE_UP_TO and not beside:
        return f"sha256:{hash_file(path)}"
    sha = hashlib.sha256(f"{size}{beside}".encode())
    with path.open("rb") as file:
        for start in (0, max(size // 2 - _MIB // 2, 0), max(size - _MIB, 0)):
            file.seek(start)
            sha.update(file.read(_MIB))
    return f"sampled:{sha.hexdigest()}"


def _indexed(path: Path) -> list[Path]:
    """The files beside an index that it names as holding pixels, each once."""
    with path.open(encoding="latin-1") as index:
        lines = [line.partition("=") for line in index.read(_LONGEST_INDEX).splitlines()]
    named = {name.strip() for key, _, name in lines if key.startswith(_OF_PIXELS)}
    beside = (path.parent / name for name in sorted(named) if Path(name).name == name)
    return [file for file in beside if file.is_file()]


def _data_files(path: Path) -> list[tuple[str, int]]:
    folder = path.with_suffix("")
    if path.suffix.lower() != ".mrxs" or not folder.is_dir():
        return []
    return sorted((entry.name, entry.stat().st_size) for entry in folder.iterdir() if entry.is_file())
