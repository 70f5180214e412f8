"""Damaged slides by the hundred: small painted TIFF and SVS files, patched at their structure or in their compressed data.

A case is a name (its suffix is that of the file) and the bytes. Equal calls give equal bytes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.slides.painting import paint, write_coded

EDGE_PX = 256
TILE_PX = 64
BASES = {
    "jpeg": ("jpeg 4:2:0", ".svs", False),
    "deflate": ("deflate", ".tif", False),
    "lzw": ("lzw, differences", ".tif", False),
    "j2k": ("jpeg 2000 rgb", ".svs", False),
    "big": ("jpeg 4:4:4", ".tif", True),
}
"""Codec, suffix, and whether it is a BigTIFF, of the slides that are damaged."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 256, 257, 258, 259, 262, 277, 284
_TILE_WIDTH, _TILE_HEIGHT, _OFFSETS, _COUNTS, _PREDICTOR, _DESCRIPTION = 322, 323, 324, 325, 317, 270
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}
_FORMATS = {1: "B", 3: "H", 4: "I", 16: "Q"}


def damaged_slides(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All cases; `folder` is for the slides that are patched."""
    for base, (codec, suffix, is_big) in BASES.items():
        path = folder / f"{base}{suffix}"
        write_coded(path, painted(), codec=codec, tile=(TILE_PX, TILE_PX), levels=2, is_aperio=suffix == ".svs", is_bigtiff=is_big)
        for name, data in [*_structures(path), *_cuts(path), *_streams(path)]:
            yield f"{base}-{name}{suffix}", data
    yield from _foreign()


def painted() -> np.ndarray:
    """The slide that is damaged: tissue all over."""
    return paint(EDGE_PX, EDGE_PX, seed=3, tissue=(0, 0, 1, 1))


@dataclass
class Tiff:
    """A TIFF whose tags can be overwritten in place. Little-endian."""

    data: bytearray

    @property
    def is_big(self) -> bool:
        return self.data[2] == 43

    def directories(self) -> list[int]:
        """Where each directory begins."""
        found, place = [], self._number(8 if self.is_big else 4, 8 if self.is_big else 4)
        while place and place not in found:
            found.append(place)
            place = self._number(self.link(place), 8 if self.is_big else 4)
        return found

    def link(self, directory: int) -> int:
        """Where the place of the next directory stands."""
        head, entry = (8, 20) if self.is_big else (2, 12)
        return directory + head + entry * self._number(directory, head)

    def entry(self, tag: int, *, page: int = 0) -> int:
        """Where the entry of a tag begins."""
        head, entry = (8, 20) if self.is_big else (2, 12)
        directory = self.directories()[page]
        places = [directory + head + entry * i for i in range(self._number(directory, head))]
        return next(place for place in places if self._number(place, 2) == tag)

    def values(self, tag: int, *, page: int = 0) -> tuple[int, int, int]:
        """Where the values of a tag stand, their type and their number."""
        place = self.entry(tag, page=page)
        width = 8 if self.is_big else 4
        kind, count = self._number(place + 2, 2), self._number(place + 4, width)
        inside = place + 4 + width
        return (inside if count * _SIZES[kind] <= width else self._number(inside, width)), kind, count

    def put(self, tag: int, value: int, *, page: int = 0, index: int = 0) -> Tiff:
        """A value of a tag, overwritten."""
        place, kind, _ = self.values(tag, page=page)
        struct.pack_into("<" + _FORMATS[kind], self.data, place + index * _SIZES[kind], value & ((1 << 8 * _SIZES[kind]) - 1))
        return self

    def put_count(self, tag: int, count: int, *, page: int = 0) -> Tiff:
        """The number of values that a tag claims."""
        struct.pack_into("<Q" if self.is_big else "<I", self.data, self.entry(tag, page=page) + 4, count)
        return self

    def rename(self, tag: int, other: int, *, page: int = 0) -> Tiff:
        """Another number for a tag: it is missing then."""
        struct.pack_into("<H", self.data, self.entry(tag, page=page), other)
        return self

    def link_to(self, place: int, *, page: int = 0) -> Tiff:
        """Another place of the directory after that of `page`."""
        struct.pack_into("<Q" if self.is_big else "<I", self.data, self.link(self.directories()[page]), place)
        return self

    def _number(self, place: int, width: int) -> int:
        return int.from_bytes(self.data[place : place + width], "little")


def _structures(path: Path) -> Iterator[tuple[str, bytes]]:
    """Directories and tags that lie."""
    whole = path.read_bytes()

    def tiff() -> Tiff:
        return Tiff(bytearray(whole))

    size, huge = len(whole), (1 << 31) - 1
    first, second = tiff().directories()[:2]
    cases = {
        "loop-to-first": tiff().link_to(first, page=1),
        "loop-to-itself": tiff().link_to(second, page=1),
        "next-directory-beyond": tiff().link_to(size + 1000),
        "next-directory-in-pixels": tiff().link_to(20, page=1),
        "width-vast": tiff().put(_WIDTH, huge),
        "size-vast": tiff().put(_WIDTH, huge).put(_HEIGHT, huge),
        "size-large": tiff().put(_WIDTH, 60_000).put(_HEIGHT, 60_000),
        "width-zero": tiff().put(_WIDTH, 0),
        "height-one": tiff().put(_HEIGHT, 1),
        "level-1-larger": tiff().put(_WIDTH, 4096, page=1).put(_HEIGHT, 4096, page=1),
        "level-1-narrow": tiff().put(_WIDTH, 16, page=1),
        "level-1-size-of-level-0": tiff().put(_WIDTH, EDGE_PX, page=1).put(_HEIGHT, EDGE_PX, page=1),
        "tile-zero": tiff().put(_TILE_WIDTH, 0),
        "tile-vast": tiff().put(_TILE_WIDTH, 32_768).put(_TILE_HEIGHT, 32_768),
        "tile-odd": tiff().put(_TILE_WIDTH, 60),
        "tile-larger": tiff().put(_TILE_WIDTH, 2 * TILE_PX),
        "few-offsets": tiff().put_count(_OFFSETS, 3),
        "few-counts": tiff().put_count(_COUNTS, 3),
        "no-offsets-claimed": tiff().put_count(_OFFSETS, 0),
        "many-offsets": tiff().put_count(_OFFSETS, 100_000_000),
        "offsets-missing": tiff().rename(_OFFSETS, 65_000),
        "counts-missing": tiff().rename(_COUNTS, 65_000),
        "compression-unknown": tiff().put(_COMPRESSION, 12_345),
        "compression-jpeg": tiff().put(_COMPRESSION, 7),
        "compression-lzw": tiff().put(_COMPRESSION, 5),
        "compression-none": tiff().put(_COMPRESSION, 1),
        "compression-j2k": tiff().put(_COMPRESSION, 33005),
        "photometric-wrong": tiff().put(_PHOTOMETRIC, 5),
        "samples-wrong": tiff().put(_SAMPLES, 200),
        "bits-wrong": tiff().put(_BITS, 16),
        "planar-wrong": tiff().put(_PLANAR, 2),
        "offset-beyond": tiff().put(_OFFSETS, size + 5, index=5),
        "offset-header": tiff().put(_OFFSETS, 0, index=5),
        "offset-vast": tiff().put(_OFFSETS, -1, index=5),
        "count-zero": tiff().put(_COUNTS, 0, index=5),
        "count-one": tiff().put(_COUNTS, 1, index=5),
        "count-negative": tiff().put(_COUNTS, -1, index=5),
        "count-whole-file": tiff().put(_COUNTS, size, index=5),
        "all-counts-zero": _each(tiff(), _COUNTS, 0),
        "all-offsets-beyond": _each(tiff(), _OFFSETS, size + 7),
        "description-vast": tiff().put_count(_DESCRIPTION, 1 << 30),
        "description-without-end": tiff().put_count(_DESCRIPTION, size - 100),
    }
    for name, case in cases.items():
        yield name, bytes(case.data)


def _each(tiff: Tiff, tag: int, value: int) -> Tiff:
    for index in range(tiff.values(tag)[2]):
        tiff.put(tag, value, index=index)
    return tiff


def _cuts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Files that end too soon, or hold something else from some place on."""
    whole = path.read_bytes()
    for share in (0.001, 0.3, 0.6, 0.9, 0.999):
        yield f"cut-at-{share}", whole[: int(share * len(whole))]
    yield "tail-zero", whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)
    yield "magic-wrong", b"XX" + whole[2:]
    yield "byte-order-wrong", b"MM" + whole[2:]


def _streams(path: Path) -> Iterator[tuple[str, bytes]]:
    """Compressed tiles that are not what they were."""
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        places = list(zip(tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts, strict=True))
        coarse = list(zip(tiff.pages[1].dataoffsets, tiff.pages[1].databytecounts, strict=True))
    rng = np.random.default_rng(7)
    offset, count = places[5]
    middle = offset + count // 2

    def put(place: int, content: bytes) -> bytes:
        return whole[:place] + content + whole[place + len(content) :]

    yield "tile-ones", put(offset, b"\xff" * count)
    yield "tile-zeros", put(offset, bytes(count))
    yield "tile-noise", put(offset, rng.bytes(count))
    yield "tile-cut", put(middle, bytes(count - count // 2))
    yield "tile-head-noise", put(offset, rng.bytes(20))
    yield "tile-flip", put(middle, bytes([whole[middle] ^ 0x10]))
    yield "tile-noise-within", put(middle, rng.bytes(30))
    yield "tile-of-another", put(offset, whole[places[6][0] : places[6][0] + min(count, places[6][1])])
    every = bytearray(whole)
    for start, length in places:
        every[start : start + length] = rng.bytes(length)
    yield "all-tiles-noise", bytes(every)
    level = bytearray(whole)
    for start, length in coarse:
        level[start : start + length] = bytes(length)
    yield "coarse-level-zeros", bytes(level)
    if whole[offset : offset + 2] == b"\xff\xd8":
        yield "jpeg-size-lies", put(whole.index(b"\xff\xc0", offset) + 5, struct.pack(">HH", 60_000, 60_000))
        yield "jpeg-components-lie", put(whole.index(b"\xff\xc0", offset) + 9, b"\x01")
    if whole[offset : offset + 2] == b"\xff\x4f":
        yield "j2k-size-lies", put(offset + 8, struct.pack(">II", 60_000, 60_000))


def _foreign() -> Iterator[tuple[str, bytes]]:
    """Files that are something else."""
    picture = Image.fromarray(painted())

    def saved(kind: str) -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, format=kind)
        return buffer.getvalue()

    png, jpeg = saved("PNG"), saved("JPEG")
    texts = {"text": b"no slide at all\n" * 20, "html": b"<!doctype html><title>404 Not Found</title>", "zip": b"PK\x03\x04" + bytes(200)}
    for suffix in (".svs", ".tif", ".ndpi", ".mrxs"):
        yield f"foreign-empty{suffix}", b""
        yield f"foreign-text{suffix}", texts["text"]
        yield f"foreign-zeros{suffix}", bytes(4096)
    yield "foreign-page.svs", texts["html"]
    yield "foreign-archive.scn", texts["zip"]
    yield "foreign-header-only.svs", b"II*\0"
    yield "foreign-png.svs", png
    yield "foreign-jpeg.ndpi", jpeg
    yield "foreign-cut.png", png[: len(png) // 2]
    yield "foreign-flip.png", png[:900] + bytes([png[900] ^ 1]) + png[901:]
    yield "foreign-cut.jpg", jpeg[: len(jpeg) // 2]
    yield "foreign-text.png", texts["text"]
