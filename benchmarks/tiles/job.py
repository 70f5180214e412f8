"""CPU-seconds and memory of the whole `hdgan tile` job, by format, beside the plain loop of OpenSlide and Pillow over the same tiles.

    python benchmarks/tiles/job.py --cache CACHE [--slide SLIDE.tif ...] [--tile-px 4096] [--rounds 3]
    python benchmarks/tiles/job.py --cache CACHE --edge 0 --slide biopsy-a.tif --tile-px 1024 --max-background 0.95 --rounds 5

Slides are cut whole, at their finest scale; with --max-background 0.95 all tissue of a slide stays that was scanned in pieces, as biopsy-a was.
The plain loop knows already which tiles stay; it does `read_region(...).convert("RGB").save("x.png")` for each, with Pillow's default compression,
and once more with compress_level=1. `hdgan tile` opens, scores, cuts, writes archive, index, folds and pages, and hashes all of it. Each way is a
process of its own, start and workers included, with compiled modules, as an installation has them; memory is that of the largest. Raw copies lie on the
slide's grid of JPEG tiles, which is the same place where the stride is a multiple of it.
"""

from __future__ import annotations

import argparse
import atexit
import csv
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from painted_slide import slide_options, slides_of

# Memory from /proc at the end of the process: what wait4 gives counts that of the process which forked it. Workers have more than who starts them.
ENDING = """
import atexit, os, re, resource, sys
def told():
    spent = os.times()
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    peak = max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    open(sys.argv[-1], "w").write(f"{spent.user + spent.system + spent.children_user + spent.children_system} {peak}")
atexit.register(told)
"""
PLAIN = """
import csv, openslide
slide = openslide.OpenSlide(sys.argv[1])
level = {} if sys.argv[4] == "default" else {"compress_level": int(sys.argv[4])}
for row in csv.DictReader(open(sys.argv[2])):
    place, edge = (int(row["x_px"]), int(row["y_px"])), int(row["size_px"])
    slide.read_region(place, 0, (edge, edge)).convert("RGB").save(f"{sys.argv[3]}/{row['slide']}_{place[0]}_{place[1]}.png", **level)
"""
TILE = """
from hdgan.cli.main import main
told = sys.argv.pop()
sys.argv = ["hdgan", "tile", sys.argv[1], "--config", sys.argv[2]]
try:
    main()
finally:
    sys.argv.append(told)
"""
SETTINGS = """
[run]
name = "job"
[tiles]
slides = ["{slide}"]
mpp = {mpp}
tile_px = {tile_px}
num_folds = 1
max_background = {max_background}
format = "{form}"
"""


def main() -> None:
    parser = slide_options(__doc__)
    parser.add_argument("--formats", nargs="+", default=["auto", "png", "jxl", "jpeg", "raw", "none"])
    parser.add_argument("--max-background", type=float, default=0.5, help="tiles with a larger share are dropped")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    rows = []
    for path in slides_of(options):
        rows += measured(path, options)
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}))


def measured(path: Path, options: argparse.Namespace) -> list[dict[str, object]]:
    from hdgan.slides.reader import known_mpp, open_slide

    mpp = float(known_mpp(open_slide(path)))
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(dir=options.cache) as scratch:
        for form in options.formats:
            rows.append(
                {"slide": path.name, "way": form}
                | least([job(path, Path(scratch) / f"{form}{i}", form, mpp, options) for i in range(options.rounds)])
            )
        index = Path(scratch) / f"{options.formats[0]}0" / "1-tiles" / "tiles.csv"
        num = sum(1 for _ in csv.DictReader(index.open()))
        for level in ("default", "1"):
            rows.append(
                {"slide": path.name, "way": f"plain {level}"}
                | least([plain(path, index, Path(scratch), level) for _ in range(options.rounds)])
            )
    by_way = {row["way"]: row for row in rows}
    print(f"\n{path.name} ({path.stat().st_size / 1e6:.0f} MB): {num} tiles of {options.tile_px} px\n")
    print("| way | CPU-s | times less than plain | than plain, level 1 | MB stored | peak MB |\n|---|---|---|---|---|---|")
    for row in rows:
        row["tiles"] = num
        ratios = [by_way[f"plain {level}"]["cpu"] / row["cpu"] for level in ("default", "1")]
        print(f"| {row['way']} | {row['cpu']:.1f} | {ratios[0]:.1f} | {ratios[1]:.1f} | {row['mb']:.0f} | {row['peak']:.0f} |")
    return rows


def job(path: Path, run: Path, form: str, mpp: float, options: argparse.Namespace) -> dict[str, float]:
    settings = run.with_suffix(".toml")
    settings.write_text(
        SETTINGS.format(slide=path, mpp=mpp, tile_px=options.tile_px, form=form, max_background=options.max_background)
        + f"[generator]\nresolution = {min(64, options.tile_px)}\n"
    )
    cost = timed(TILE, str(run), str(settings))
    return cost | {"mb": (run / "1-tiles" / "tiles.zip").stat().st_size / 1e6}


def plain(path: Path, index: Path, scratch: Path, level: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        cost = timed(PLAIN, str(path), str(index), folder, level)
        return cost | {"mb": sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6}


def timed(code: str, *arguments: str) -> dict[str, float]:
    """CPU-seconds of a Python process, start included, and its peak memory (MB)."""
    with tempfile.NamedTemporaryFile("r") as told:
        command = [sys.executable, "-c", ENDING + code, *arguments, told.name]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": compiled()}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds, kib = told.read().split()
    return {"cpu": float(seconds), "peak": int(kib) * 1024 / 1e6}


@functools.cache
def compiled() -> str:
    """A folder with the compiled modules of both ways, so that no timed process compiles any."""
    folder = tempfile.mkdtemp(prefix="job-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": folder}
    modules = [
        "csv",
        "openslide",
        "numpy",
        "hdgan.cli.main",
        "hdgan.pipeline.run",
        "hdgan.tiles.stage",
        "hdgan.tiles.hiring",
        "imagecodecs",
        "tifffile",
    ]
    subprocess.run([sys.executable, "-c", f"import {', '.join(modules)}"], check=True, env=environment)
    return folder


def least(costs: list[dict[str, float]]) -> dict[str, float]:
    return min(costs, key=lambda cost: cost["cpu"])


if __name__ == "__main__":
    main()
