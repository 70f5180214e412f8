"""The identity of a slide's content, at the cost of reading a few MiB of each of its files of gigabytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hdgan.errors import BadInput
from hdgan.slides.dicom import series_files
from hdgan.store.hashing import hash_file, hash_json

_WHOLE_UP_TO = 64 << 20
_MIB = 1 << 20


def content_hash(path: Path) -> str:
    """`sha256:` and the hash of a file up to 64 MiB; of a larger one `sampled:` and that of its size, first, middle and last MiB.

    A sampled hash tells slides apart and sees truncation; it does not see every damaged byte. A MIRAX slide's folder
    of data files counts by the names and sizes in it. A DICOM slide of several files has one hash over those of all, whichever names it.

    Raises:
        BadInput: a file cannot be read.
    """
    try:
        parts = series_files(path)
        if len(parts) < 2:
            return _of_file(path, _companions(path))
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


def _companions(path: Path) -> list[tuple[str, int]]:
    folder = path.with_suffix("")
    if path.suffix.lower() != ".mrxs" or not folder.is_dir():
        return []
    return sorted((entry.name, entry.stat().st_size) for entry in folder.iterdir() if entry.is_file())
