"""Which damage in compressed tiles is seen: by our direct reader, by OpenSlide, by both, or by neither because both give the same wrong pixels.

`python benchmarks/tiles/seen_damage.py [--tiles 16]` patches the middle of each of 16 tiles of a painted slide with zeros or random bytes and counts
verdicts; "noted" are those of which libjpeg complains, as strict settings ask it to. With `--slide SLIDE` the JPEG tiles of a real slide are damaged, and
only complaints counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from tests.slides.painting import paint, write_coded

from hdgan.slides.direct import DirectSlide
from hdgan.slides.jpeg_check import jpeg_complaint
from hdgan.slides.reader import open_slide
from hdgan.slides.second import cross_check, second_reader

TILE_PX = 128
CODECS = ("jpeg 4:2:0", "jpeg 4:4:4", "jpeg 2000 rgb", "deflate", "lzw")


def main() -> None:
    """Prints a row for each codec and kind of damage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=16, choices=range(1, 17), metavar="1..16")
    parser.add_argument("--slide", type=Path, help="a slide of JPEG tiles")
    asked = parser.parse_args()
    num_tiles = asked.tiles
    rng = np.random.default_rng(0)
    kinds = {
        "1 random byte": lambda: rng.bytes(1),
        "20 random bytes": lambda: rng.bytes(20),
        "300 random bytes": lambda: rng.bytes(300),
        "20 zeros": lambda: bytes(20),
        "300 zeros": lambda: bytes(300),
    }
    if asked.slide is not None:
        tell_complaints(asked.slide, kinds)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.svs"
        for codec in CODECS:
            write_coded(path, paint(512, 512, tissue=(0, 0, 1, 1)), codec=codec, levels=1, is_aperio=True)
            whole, intact = path.read_bytes(), open_slide(path).read((0, 0), level0_size=512, out_px=512)
            for kind, content in kinds.items():
                counts: Counter[str] = Counter()
                for index in range(num_tiles):
                    path.write_bytes(patched(whole, path, index, content()))
                    counts[verdict(path, intact, index)] += 1
                    path.write_bytes(whole)
                print(f"{codec:14} {kind:17} " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))


def tell_complaints(slide: Path, kinds: dict[str, Callable[[], bytes]]) -> None:
    """Prints how many intact JPEG tiles of the finest level libjpeg complains of, and how many damaged ones."""
    data = slide.read_bytes()
    with tifffile.TiffFile(slide) as tiff:
        page = next(page for page in tiff.pages if page.is_tiled)
        places = [(offset, count) for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True) if count > 1000]
        known = {"tables": page.jpegtables, "tile_px": (page.tilewidth, page.tilelength)}
    for kind, content in {"intact": bytes, **kinds}.items():
        noted = 0
        for offset, count in places:
            tile, patch, middle = data[offset : offset + count], content(), count // 2
            noted += bool(jpeg_complaint(tile[:middle] + patch + tile[middle + len(patch) :], **known))
        print(f"{slide.name:14} {kind:17} noted {noted} of {len(places)}")


def patched(whole: bytes, path: Path, index: int, content: bytes) -> bytes:
    """The file with `content` in the middle of a compressed tile."""
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[0].dataoffsets[index] + tiff.pages[0].databytecounts[index] // 2
    return whole[:start] + content + whole[start + len(content) :]


def verdict(path: Path, intact: np.ndarray, index: int) -> str:
    """What the two readers make of one tile; "first" is the direct one."""
    plain = open_slide(path, reader="openslide")
    direct = second_reader(plain)
    assert direct is not None
    x, y = index % 4 * TILE_PX, index // 4 * TILE_PX
    region = {"level0_size": TILE_PX, "out_px": TILE_PX}
    found = cross_check(direct, plain, (x, y), **region).verdict
    if found == "same":
        pixels = direct.read((x, y), **region)
        found += " right" if np.array_equal(pixels, intact[y : y + TILE_PX, x : x + TILE_PX]) else " wrong"
        assert isinstance(direct, DirectSlide)
        found += " but noted" if direct.complaint(0, (x, y), (TILE_PX, TILE_PX)) else ""
    for slide in (plain, direct):
        slide.close()
    return found.replace("first", "direct").replace("second", "OpenSlide")


if __name__ == "__main__":
    main()
