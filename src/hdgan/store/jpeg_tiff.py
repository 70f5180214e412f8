"""A TIFF of one tiled level around JPEG streams that exist already: nothing is decoded, nothing encoded again.

Baseline TIFF 6.0 with JPEG compression as in Adobe's technical note 2 (tag 259 = 7, shared tables in tag 347), which libtiff, Pillow, libvips and tifffile
read. The tags that say what the JPEG values mean (colour, subsampling) are those of the file that the streams come from.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7
_SIZES = {_SHORT: 2, _LONG: 4, _RATIONAL: 8, _UNDEFINED: 1}
_HEADER = 8


@dataclass(frozen=True)
class JpegLayout:
    """What the JPEG tiles of a level share."""

    tile_px: tuple[int, int]
    """Width and height of a tile, each a multiple of 16."""
    photometric: int
    """TIFF's PhotometricInterpretation: 2 RGB, 6 YCbCr."""
    tables: bytes = b""
    """JPEGTables, where the streams are abbreviated."""
    subsampling: tuple[int, int] | None = None
    """YCbCrSubSampling."""
    positioning: int | None = None
    """YCbCrPositioning."""
    black_white: tuple[int, ...] | None = None
    """ReferenceBlackWhite: six fractions as twelve whole numbers."""


def jpeg_tiff(streams: Sequence[bytes], *, size_px: int, layout: JpegLayout) -> bytes:
    """A classic little-endian TIFF of `size_px` x `size_px` px with the tiles `streams`, row by row; equal streams give equal bytes.

    Tiles reach over the right and lower edge where `size_px` is no multiple of theirs, as TIFF has it.
    """
    (width, height) = layout.tile_px
    across, down = -(-size_px // width), -(-size_px // height)
    if len(streams) != across * down:
        raise ValueError(f"{len(streams)} tiles for {across} x {down}")
    tags: list[tuple[int, int, Sequence[int] | bytes]] = [
        (256, _LONG, [size_px]),
        (257, _LONG, [size_px]),
        (258, _SHORT, [8, 8, 8]),
        (259, _SHORT, [7]),
        (262, _SHORT, [layout.photometric]),
        (277, _SHORT, [3]),
        (284, _SHORT, [1]),
        (322, _LONG, [width]),
        (323, _LONG, [height]),
        (324, _LONG, [0] * len(streams)),
        (325, _LONG, [len(stream) for stream in streams]),
    ]
    if layout.tables:
        tags.append((347, _UNDEFINED, layout.tables))
    if layout.subsampling:
        tags.append((530, _SHORT, layout.subsampling))
    if layout.positioning:
        tags.append((531, _SHORT, [layout.positioning]))
    if layout.black_white:
        tags.append((532, _RATIONAL, layout.black_white))
    start = _HEADER + len(_directory(tags))
    offsets = []
    for stream in streams:
        offsets.append(start)
        start += len(stream) + len(stream) % 2
    tags = [(number, kind, offsets if number == 324 else values) for number, kind, values in tags]
    parts = [b"II*\0", struct.pack("<I", _HEADER), _directory(tags)]
    for stream in streams:
        parts += [stream, b"\0" * (len(stream) % 2)]
    return b"".join(parts)


def _directory(tags: Sequence[tuple[int, int, Sequence[int] | bytes]]) -> bytes:
    """The directory at `_HEADER`, and behind it the values that are longer than four bytes."""
    behind = _HEADER + 2 + 12 * len(tags) + 4
    entries, values = [struct.pack("<H", len(tags))], b""
    for number, kind, value in tags:
        packed = _packed(kind, value)
        count = len(packed) // _SIZES[kind]
        if len(packed) <= 4:
            entries.append(struct.pack("<HHI", number, kind, count) + packed.ljust(4, b"\0"))
        else:
            entries.append(struct.pack("<HHII", number, kind, count, behind + len(values)))
            values += packed + b"\0" * (len(packed) % 2)
    return b"".join(entries) + b"\0\0\0\0" + values


def _packed(kind: int, value: Sequence[int] | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    return struct.pack(f"<{len(value)}{'H' if kind == _SHORT else 'I'}", *value)
