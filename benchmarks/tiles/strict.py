"""CPU-seconds of a whole `hdgan tile` job with `strict` and without, on a painted slide of JPEG tiles and on slides given by --slide; and their ratio.

    python benchmarks/tiles/strict.py --cache CACHE [--slide SLIDE.tif ...] [--edge 20000] [--tile-px 4096] [--format png] [--rounds 3]

Jobs with and without take turns; each is a command of its own whose processor time, with that of its workers, is asked of the operating system when it
has ended. The least of the rounds is shown. What strict adds is reading every tile by the second reader, comparing, and asking libtiff of each JPEG tile.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from painted_slide import slide_options, slides_of

from hdgan.slides.reader import known_mpp, open_slide
from hdgan.store.archive import read_rows

JOB = """
import sys
from pathlib import Path
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.stage import run_tiles
run_tiles(TilesConfig.model_validate_json(sys.argv[1]), out=Path(sys.argv[2]), seed=0, base=Path(sys.argv[3]))
"""


def main() -> None:
    parser = slide_options(__doc__)
    parser.add_argument("--format", default="png")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    print("| slide | tiles | CPU-s | CPU-s, strict | ratio |\n|---|---|---|---|---|")
    for path in slides_of(options):
        slide = open_slide(path)
        settings = {"slides": [str(path)], "mpp": float(known_mpp(slide)), "tile_px": options.tile_px, "num_folds": 1}
        slide.close()
        least: dict[bool, float] = {}
        for _ in range(options.rounds):
            for is_strict in (False, True):
                told = settings | {"format": options.format, "workers": 1, "strict": is_strict}
                seconds, num = measured(told, options.cache.absolute() / f"strict-{is_strict}")
                least[is_strict] = min(seconds, least.get(is_strict, seconds))
        rows.append({"slide": path.name, "tiles": num, "plain": least[False], "strict": least[True], "ratio": least[True] / least[False]})
        print(f"| {path.name} | {num} | {least[False]:.2f} | {least[True]:.2f} | {rows[-1]['ratio']:.2f} |", flush=True)
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}))


def measured(settings: dict[str, object], out: Path) -> tuple[float, int]:
    """CPU-seconds of one job, its workers with it, and the number of tiles that it kept."""
    shutil.rmtree(out, ignore_errors=True)
    before = cpu_of_children()
    command = [sys.executable, "-c", JOB, json.dumps(settings), str(out), str(out.parent)]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    seconds = cpu_of_children() - before
    num = len(read_rows(out / "tiles.csv"))
    shutil.rmtree(out)
    return seconds, num


def cpu_of_children() -> float:
    """Processor time of all that has ended below this process, user and system."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
