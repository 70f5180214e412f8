"""Compressed tiles of a TIFF into pixels: JPEG, JPEG 2000, deflate, LZW and stored ones; what damage can be seen is refused.

JPEG decoders give some picture for almost any bytes. Refused here: no start or end mark, a marker where only coded data may
stand (random bytes have one within a few hundred), other dimensions than the tile's, and what the decoder itself refuses. Damage
that is valid code cannot be seen: a few changed bytes, or a run of zeros between intact parts, decode to wrong pixels without a
word, in OpenSlide too (`benchmarks/tiles/seen_damage.py` counts it). Deflate has a checksum, and LZW mostly ends wrong.

Source: TIFF 6.0; TIFF Technical Note 2 (JPEG tables); ITU-T T.81 (markers); ITU-T T.800 (JPEG 2000). Arrays are `[H, W, 3]` uint8 RGB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

import imagecodecs
import numpy as np

STORED, LZW, JPEG, DEFLATE, OLD_DEFLATE = 1, 5, 7, 8, 32946
APERIO_J2K_YCBCR, APERIO_J2K_RGB = 33003, 33005
RGB, YCBCR = 2, 6
PLAIN, HORIZONTAL = 1, 2

_JPEG_COLOURS = {RGB: "RGB", YCBCR: "YCbCr"}
_J2K = (APERIO_J2K_YCBCR, APERIO_J2K_RGB)
_PACKED = (STORED, LZW, DEFLATE, OLD_DEFLATE)

_FOREIGN_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xc4\xd0-\xd7\xd9-\xdb\xdd]")
"""What never stands behind the first scan header of a tile: not a stuffed byte, fill, table, restart, end or further scan."""
_FOREIGN_J2K_MARKER = re.compile(rb"\xff[\x94-\xd8\xda-\xff]")
"""Coded JPEG 2000 data has no 0xFF followed by more than 0x8F; tile parts and the end of the stream are the exceptions."""
_END = b"\xff\xd9"
_SCAN = 0xDA


class DamagedTileError(ValueError):
    """A compressed tile is not what its header promises; the text says how."""


@dataclass(frozen=True)
class Codec:
    """How the tiles of one level are compressed."""

    compression: int
    """The TIFF tag of that name."""
    photometric: int
    predictor: int = PLAIN
    tables: bytes | None = None
    """JPEG tables that all tiles share."""
    _headers: _JpegHeaders = field(default_factory=lambda: _JpegHeaders(), init=False, repr=False, compare=False)

    def unsuited(self) -> str:
        """Why tiles of this kind are not decoded here; empty when they are."""
        if self.compression == JPEG:
            return "" if self.photometric in _JPEG_COLOURS else f"JPEG tiles with photometric interpretation {self.photometric}"
        if self.compression in _J2K:
            return "" if self.photometric in (RGB, YCBCR) else f"JPEG 2000 tiles with photometric interpretation {self.photometric}"
        if self.compression not in _PACKED:
            return f"compression {self.compression}"
        if self.photometric != RGB:
            return f"photometric interpretation {self.photometric}"
        return "" if self.predictor in (PLAIN, HORIZONTAL) else f"predictor {self.predictor}"

    def decode(self, data: bytes, *, out: np.ndarray) -> np.ndarray:
        """The pixels of one tile, `[H, W, 3]` uint8 of the shape of `out`: in it where the codec can, else an array of its own.

        Raises:
            DamagedTileError: the bytes are no such tile.
        """
        try:
            if self.compression == JPEG:
                return self._jpeg(data, out)
            if self.compression in _J2K:
                return self._jpeg2000(data, out)
            return self._packed(data, out)
        except DamagedTileError:
            raise
        except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:  # imagecodecs' errors are RuntimeErrors
            raise DamagedTileError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error

    def _jpeg(self, data: bytes, out: np.ndarray) -> np.ndarray:
        _check_jpeg(data, self._headers)
        return np.asarray(
            imagecodecs.jpeg8_decode(data, tables=self.tables, colorspace=_JPEG_COLOURS[self.photometric], outcolorspace="RGB", out=out)
        )

    def _jpeg2000(self, data: bytes, out: np.ndarray) -> np.ndarray:
        _check_jpeg2000(data, out.shape)
        pixels = np.asarray(imagecodecs.jpeg2k_decode(data, planar=False, numthreads=1))
        if pixels.shape != out.shape or pixels.dtype != np.uint8:
            raise DamagedTileError(f"decodes to {pixels.shape} {pixels.dtype}, not to {out.shape} uint8")
        return _from_ycbcr(pixels) if self.compression == APERIO_J2K_YCBCR else pixels

    def _packed(self, data: bytes, out: np.ndarray) -> np.ndarray:
        if self.compression == STORED:
            packed: bytes | bytearray = data
        elif self.compression == LZW:
            packed = imagecodecs.lzw_decode(data, out=out.nbytes)
        else:
            packed = imagecodecs.deflate_decode(data, out=out.nbytes)
        if len(packed) != out.nbytes:
            raise DamagedTileError(f"unpacks to {len(packed)} bytes, not to {out.nbytes}")
        pixels = np.frombuffer(packed, np.uint8).reshape(out.shape)
        if self.predictor == HORIZONTAL:
            np.cumsum(pixels, axis=1, dtype=np.uint8, out=out)
            return out
        return pixels


class _JpegHeaders:
    """The header that a tile had, up to its scan: most tiles of a slide have the same, and walking through it takes as long as searching the data."""

    def __init__(self) -> None:
        self._last = b""

    def length(self, data: bytes) -> int:
        """Bytes of the header of `data`, up to the end of that of the first scan.

        Raises:
            DamagedTileError: it has no scan.
        """
        last = self._last  # another thread may put another one in its place
        if last and data.startswith(last):
            return len(last)
        length = _scan_start(data)
        self._last = data[:length]
        return length


def _check_jpeg(data: bytes, headers: _JpegHeaders) -> None:
    if data[:2] != b"\xff\xd8":
        raise DamagedTileError("does not begin as a JPEG")
    scan = headers.length(data)
    end = data.rfind(_END)
    if end < scan:
        raise DamagedTileError("has no end of the JPEG")
    foreign = _FOREIGN_JPEG_MARKER.search(data, scan, end) if _has_marker(data, scan, end) else None
    if foreign:
        raise DamagedTileError(f"has a foreign marker 0x{foreign[0].hex()} in its JPEG data at byte {foreign.start()}")


def _has_marker(data: bytes, start: int, end: int) -> bool:
    """Whether any 0xFF between `start` and `end` is followed by something else than 0. Coded data has one in 150 bytes, all of them stuffed: to compare
    all bytes at once takes two thirds of the time of a search that stops at each.
    """
    stretch = np.frombuffer(data, np.uint8, end - start, start)
    is_marker = stretch[:-1] == 0xFF
    is_marker &= stretch[1:] != 0
    return bool(is_marker.any())


def _scan_start(data: bytes) -> int:
    """Where the header of the first scan ends."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        place += 2 + length
        if marker == _SCAN:
            return place
    raise DamagedTileError("has no JPEG scan")


def _check_jpeg2000(data: bytes, shape: tuple[int, ...]) -> None:
    if data[:4] != b"\xff\x4f\xff\x51":
        raise DamagedTileError("does not begin as a JPEG 2000 codestream")
    x1, y1, x0, y0 = (int.from_bytes(data[place : place + 4], "big") for place in (8, 12, 16, 20))
    if (y1 - y0, x1 - x0) != shape[:2]:  # before memory is taken for them
        raise DamagedTileError(f"is a JPEG 2000 image of {x1 - x0} x {y1 - y0} px, not of {shape[1]} x {shape[0]}")
    start, end = data.find(b"\xff\x93"), data.rfind(_END)
    if start < 0 or end < start:
        raise DamagedTileError("has no end of the JPEG 2000 codestream")
    foreign = _FOREIGN_J2K_MARKER.search(data, start + 2, end)
    if foreign:
        raise DamagedTileError(f"has a foreign marker 0x{foreign[0].hex()} in its JPEG 2000 data at byte {foreign.start()}")


def _from_ycbcr(pixels: np.ndarray) -> np.ndarray:
    """RGB of full-range YCbCr (JFIF, ITU-R BT.601), each colour difference rounded by itself before luma is added."""
    red_of, green_of, blue_of = _colour_differences()
    luma, blue, red = pixels[..., 0].astype(np.int16), pixels[..., 1], pixels[..., 2]
    channels = (luma + red_of[red], luma + green_of[blue, red], luma + blue_of[blue])
    return np.asarray(np.clip(np.stack(channels, axis=-1), 0, 255), dtype=np.uint8)


@cache
def _colour_differences() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What red `[Cr]`, green `[Cb, Cr]` and blue `[Cb]` are above luma, int16; red and blue from 16-bit fixed point, as in JPEG decoders."""
    chroma = np.arange(256) - 128
    red, blue = ((round(factor * (1 << 16)) * chroma + (1 << 15)) >> 16 for factor in (1.402, 1.772))
    green = np.floor(0.5 - 0.34414 * chroma[:, None] - 0.71414 * chroma[None, :])
    return red.astype(np.int16), green.astype(np.int16), blue.astype(np.int16)
