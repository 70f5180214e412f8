"""What reading tiles that are not stored costs by a process of its own, beside reading them in this one: seconds and CPU-seconds of a tile.

    python benchmarks/tiles/unstored.py --cache CACHE [--slide SLIDE.tif ...] [--edge 20000] [--tile-px 4096] [--num 4] [--rounds 5]

Both ways take turns over the same tiles; the least of the rounds is shown, and the start of the process is in none of them. CPU-seconds are those of
both processes together.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from kills import children
from painted_slide import slide_options, slides_of

from hdgan.slides.content import content_hash
from hdgan.slides.reader import known_mpp, open_slide
from hdgan.slides.table import find_slides
from hdgan.store.archive import TileRow
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import score_cells
from hdgan.tiles.live import SlideTiles
from hdgan.tiles.plan import plan_slide


def main() -> None:
    parser = slide_options(__doc__)
    parser.add_argument("--num", type=int, default=4, help="tiles, those with the least background")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print("| slide | px | here, s | apart, s | here, CPU-s | apart, CPU-s | ratio of CPU |\n|---|---|---|---|---|---|---|")
    rows = [measured(path, options.tile_px, num=options.num, rounds=options.rounds) for path in slides_of(options)]
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}))


def measured(path: Path, tile_px: int, *, num: int, rounds: int) -> dict[str, object]:
    tiles, config = best_tiles(path, tile_px, num)
    known = {f"slide {tiles[0].slide}": content_hash(path)}
    here, apart = (
        SlideTiles(config.model_copy(update={"workers": workers}), base=Path(), folder=Path(), contents=known) for workers in (0, 1)
    )
    assert all(np.array_equal(here(row), apart(row)) for row in tiles), "both read the same pixels"
    least: dict[str, tuple[float, float]] = {}
    for _ in range(rounds):
        for name, reader in (("here", here), ("apart", apart)):
            began, before = time.monotonic(), cpu_seconds()
            for row in tiles:
                reader(row)
            now = ((time.monotonic() - began) / len(tiles), (cpu_seconds() - before) / len(tiles))
            least[name] = tuple(map(min, now, least.get(name, now)))  # type: ignore[assignment]
    row = {"slide": path.name, "tile_px": tile_px, "here": least["here"], "apart": least["apart"]}
    seconds = [f"{least[name][kind]:.3f}" for kind in (0, 1) for name in ("here", "apart")]
    print(f"| {path.name} | {tile_px} | {' | '.join(seconds)} | {least['apart'][1] / max(least['here'][1], 1e-9):.2f} |", flush=True)
    return row


def best_tiles(path: Path, tile_px: int, num: int) -> tuple[list[TileRow], TilesConfig]:
    """The tiles with the least background, and settings that name their slide."""
    with closing(open_slide(path)) as slide:
        (entry,) = find_slides([str(path)], base=Path())
        config = TilesConfig(slides=(str(path),), mpp=float(known_mpp(slide)), tile_px=tile_px, format="none")
        plan = plan_slide(slide, entry, config)
        best = np.argsort(score_cells(slide, plan, config).background, kind="stable")[:num]
    row = TileRow("", entry.name, "p", "", "", 0, 0, 0, plan.level0_px, tile_px, config.mpp, 0.0)
    return [replace(row, x_px=plan.cells[i][0], y_px=plan.cells[i][1]) for i in best], config


def cpu_seconds() -> float:
    """Processor time of this process and of those that it started and that are still there, user and system."""
    used = time.process_time()
    for process in children(os.getpid()):
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


if __name__ == "__main__":
    main()
