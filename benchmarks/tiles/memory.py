"""Peak memory of the whole `hdgan tile` job where tiles are small, so that the overview is as large as it may be.

    python benchmarks/tiles/memory.py --cache CACHE --edge 8192 --tile-px 64
    python benchmarks/tiles/memory.py --cache CACHE --edge 20000 --tile-px 256

An overview has 64 px across a tile, but no more pixels than `hdgan.tiles.overview.MOST_PX`: 8,192 px with tiles of 64 px reach that, and so does a slide of
100,000 px with tiles of 256 px. Memory is that of the largest process, start and imports included. Ends with 1 where it is 500 MB or more.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from job import job
from painted_slide import slide_options, slides_of

MOST_MB = 500


def main() -> None:
    parser = slide_options(__doc__)
    parser.add_argument("--format", default="auto")
    parser.add_argument("--max-background", type=float, default=0.5)
    options = parser.parse_args()
    rows = []
    print("| slide | tiles, px | overview, million px | peak MB | CPU-s |\n|---|---|---|---|---|")
    for path in slides_of(options):
        with tempfile.TemporaryDirectory(dir=options.cache) as scratch:
            num_px, mpp = overview_px(path, tile_px=options.tile_px)
            cost = job(path, Path(scratch) / "run", options.format, mpp, options)
        rows.append({"slide": path.name, "tile_px": options.tile_px, "overview_px": num_px} | cost)
        print(f"| {path.name} | {options.tile_px} | {num_px / 1e6:.1f} | {cost['peak']:.0f} | {cost['cpu']:.1f} |")
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}))
    sys.exit(int(max(row["peak"] for row in rows) >= MOST_MB))


def overview_px(path: Path, *, tile_px: int) -> tuple[int, float]:
    """Pixels of the overview that tiles of the slide's own scale are judged on, and that scale, um/px."""
    from hdgan.slides.reader import known_mpp, open_slide
    from hdgan.tiles.background import overview_mpp
    from hdgan.tiles.overview import bounded_step

    with closing(open_slide(path)) as slide:
        mpp = float(known_mpp(slide))
        step_px = bounded_step(max(1.0, overview_mpp(tile_px * mpp, slide_mpp=mpp) / mpp), slide.size_px)
        return math.prod(int(edge / step_px) for edge in slide.size_px), mpp


if __name__ == "__main__":
    main()
