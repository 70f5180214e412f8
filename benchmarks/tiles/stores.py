"""Bytes of a tile, and CPU-seconds to write and to read one, in each format: on a painted slide and on slides given by --slide.

    python benchmarks/tiles/stores.py --cache CACHE [--slide SLIDE.tif ...] [--tile-px 4096] [--num 4]

`write` is what storing adds once the pixels are read, and for `raw` what it takes instead of reading (copying, and decoding once as a check); for
`none` it is nothing. `read` is from the archive to an array. Every figure is the smallest of --rounds rounds over --num tiles, one thread.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from painted_slide import slide_options, slides_of

from hdgan.slides.content import content_hash
from hdgan.slides.reader import known_mpp, open_slide
from hdgan.slides.table import find_slides
from hdgan.store.archive import TileArchive, TileRow, write_archive
from hdgan.store.codec import SUFFIXES, Format, encode
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import score_cells
from hdgan.tiles.encode import tile_source
from hdgan.tiles.live import SlideTiles
from hdgan.tiles.plan import plan_slide


def main() -> None:
    parser = slide_options(__doc__)
    parser.add_argument("--num", type=int, default=4, help="tiles, those with the least background")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for path in slides_of(options):
        rows += measured(path, tile_px=options.tile_px, num=options.num, rounds=options.rounds)
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}))


def measured(path: Path, *, tile_px: int, num: int, rounds: int) -> list[dict[str, object]]:
    with closing(open_slide(path)) as slide:
        mpp = float(known_mpp(slide))
        (entry,) = find_slides([str(path)], base=Path())
        config = TilesConfig(slides=(str(path),), mpp=mpp, tile_px=tile_px, format="raw")
        plan = plan_slide(slide, entry, config)
        best = np.argsort(score_cells(slide, plan, config).background, kind="stable")[:num]
        plan = replace(plan, cells=tuple(plan.cells[i] for i in sorted(best)))
        pixels = [slide.read(xy, level0_size=plan.level0_px, out_px=tile_px) for xy in plan.cells]
        reading = least(lambda: [slide.read(xy, level0_size=plan.level0_px, out_px=tile_px) for xy in plan.cells], rounds) / len(pixels)
        print(f"\n{path.name}: {len(pixels)} tiles of {tile_px} px; reading one by the slide's reader {reading:.3f} CPU-s\n")
        print("| format | MB | write, CPU-s | read, CPU-s |\n|---|---|---|---|")
        rows = []
        with tempfile.TemporaryDirectory() as scratch:
            for form in SUFFIXES:
                with closing(tile_source(slide, plan, config, form=form)) as source:
                    stored = [source.take(xy).encoded() for xy in plan.cells]
                    if form == "raw":
                        write = least(lambda source=source: [source.take(xy).encoded() for xy in plan.cells], rounds)
                    else:
                        write = least(lambda form=form: [encode(tile, form) for tile in pixels], rounds)
                tiles = [
                    TileRow(f"{i}{SUFFIXES[form]}", entry.name, "p", "", "", 0, *xy, plan.level0_px, tile_px, mpp, 0.0)
                    for i, xy in enumerate(plan.cells)
                ]
                folder = Path(scratch) / form
                write_archive(folder, zip(tiles, stored, strict=True))
                archive = TileArchive(
                    folder, SlideTiles(config, base=Path(), folder=folder, contents={f"slide {entry.name}": content_hash(path)})
                )
                check(archive, pixels, form)
                read = least(lambda archive=archive: [archive.read(i) for i in range(len(archive))], rounds)
                row = {"slide": path.name, "format": form, "mb": sum(map(len, stored)) / len(stored) / 1e6}
                row |= {"write": write / len(pixels), "read": read / len(pixels), "reader": reading}
                rows.append(row)
                print(f"| {form} | {row['mb']:.2f} | {row['write']:.3f} | {row['read']:.3f} |", flush=True)
    return rows


def check(archive: TileArchive, pixels: list[np.ndarray], form: Format) -> None:
    """Lossless formats must give every pixel back."""
    if form != "jpeg":
        assert all(np.array_equal(archive.read(i), tile) for i, tile in enumerate(pixels)), form


def least(work: Callable[[], object], rounds: int) -> float:
    """The least CPU-seconds of `work`."""
    found = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


if __name__ == "__main__":
    main()
