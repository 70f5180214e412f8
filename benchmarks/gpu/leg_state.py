"""A training state as .npz parts of at most 15 MB, so that it can be carried between machines.

A folder `state-<images>` is whole once its `index.json` (names, sizes and sha256 of the parts) is there. With
`is_compact` Adam's second moments are kept as float16 square roots: about half the size, not bit-exact.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

PART_BYTES = 15_000_000


def save(root: Path, tensors: dict[str, Tensor], facts: dict[str, Any], *, keep: int = 2, is_compact: bool = False) -> Path:
    """Writes the state; older ones but `keep` are removed."""
    folder = root / f"state-{facts['num_images']:010d}"
    temporary = root / f".{folder.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    index: dict[str, Any] = {"facts": facts, "is_compact": is_compact, "parts": {}}
    part: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().contiguous().numpy()
        if is_compact and name.endswith(".second"):
            array = np.sqrt(array).astype(np.float16)
        if part and sum(a.nbytes for a in part.values()) + array.nbytes > PART_BYTES:
            _write_part(temporary, part, index)
            part = {}
        part[name] = array
    _write_part(temporary, part, index)
    (temporary / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
    for old in sorted(root.glob("state-*"))[:-keep]:
        shutil.rmtree(old)
    return folder


def newest(root: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of the newest whole state below `root`, or None."""
    for folder in sorted(root.glob("state-*"), reverse=True):
        try:
            return _read(folder)
        except (OSError, ValueError, KeyError) as error:
            print(f"{folder.name} is damaged ({error}); an older state is used")
    return None


def _write_part(folder: Path, part: dict[str, np.ndarray], index: dict[str, Any]) -> None:
    path = folder / f"part-{len(index['parts'])}.npz"
    np.savez(path, **part)  # type: ignore[arg-type]
    index["parts"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    index = json.loads((folder / "index.json").read_text())
    tensors: dict[str, Tensor] = {}
    for name, expected in index["parts"].items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{name} was altered")
        with np.load(folder / name, allow_pickle=False) as part:
            for key in part.files:
                array = part[key]
                if index["is_compact"] and key.endswith(".second"):
                    array = np.square(array.astype(np.float32))
                tensors[key] = torch.from_numpy(np.array(array))
    return tensors, index["facts"]
