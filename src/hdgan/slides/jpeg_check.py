"""What a JPEG decoder itself finds wrong with a tile that it decodes all the same.

libjpeg notes impossible codes, data that end before the last block and data that are left over after it, and goes on with a picture. OpenSlide and
`imagecodecs.jpeg8_decode` drop these notes. libtiff reports them, so a tile is put into a TIFF of its own and decoded once more.

Damage moves the boundaries of the codes behind it, so that the blocks rarely end where the data do: most of it is noted. Not noted: changed bits that
leave every length as it was (of one changed byte, in a tenth to a half of the cases), and damage in other codecs (`benchmarks/tiles/seen_damage.py`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import imagecodecs

from hdgan.store.jpeg_tiff import JpegLayout, jpeg_tiff

_YCBCR = 6
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
"""Markers of the frame header: baseline, extended, progressive."""
_LOGGER = logging.getLogger("imagecodecs")


def jpeg_complaint(data: bytes, *, tables: bytes | None, tile_px: tuple[int, int]) -> str:
    """The first complaint about one JPEG tile of `tile_px` (width, height), a line; empty when there is none.

    `tables` are those that all tiles of the level share.
    """
    # Declared as YCbCr whatever it is: colour is not looked at, and libtiff accepts no subsampling in RGB.
    layout = JpegLayout(tile_px, _YCBCR, tables or b"", subsampling=_subsampling(data))
    return tiff_complaint(jpeg_tiff([data], size_px=min(tile_px), layout=layout))


def tiff_complaint(data: bytes) -> str:
    """The first complaint about a TIFF of JPEG tiles; empty when there is none."""
    with _noted() as notes:
        try:
            imagecodecs.tiff_decode(data, verbose=1)
        except (RuntimeError, ValueError, OverflowError, MemoryError) as error:  # imagecodecs' errors are RuntimeErrors
            notes.append(f"{type(error).__name__}: {error}")
    return " ".join(notes[0].split()) if notes else ""


def _subsampling(data: bytes) -> tuple[int, int]:
    """By what the colour differences are coarser, across and down, from the frame header; (1, 1) where that cannot be read."""
    place = 2
    while place + 12 <= len(data) and data[place] == 0xFF:
        if data[place + 1] in _FRAMES:
            across, down = data[place + 11] >> 4, data[place + 11] & 15
            return (across, down) if across in (1, 2, 4) and down in (1, 2, 4) else (1, 1)
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return (1, 1)


@contextmanager
def _noted() -> Iterator[list[str]]:
    """What imagecodecs logs in this thread meanwhile, kept from the log."""
    notes: list[str] = []
    own = threading.get_ident()

    def kept(record: logging.LogRecord) -> bool:
        if record.thread != own:
            return True
        notes.append(record.getMessage())
        return False

    _LOGGER.addFilter(kept)
    try:
        yield notes
    finally:
        _LOGGER.removeFilter(kept)
