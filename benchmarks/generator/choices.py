"""What each choice of `recipes/kidney_pas.toml` does to the generator, one at a time: field of view, width, augmentation, R1's weight, averaging.

`HDGAN_DATA=FOLDER python benchmarks/generator/choices.py --out FOLDER [--kimg 30] [--choices recipe "another seed" ...]`. Each choice is a training
of its own from nothing, tiles included; the recipe's step falls over its last part however short it is. Printed is what the training itself
measures at its end, on 256 images of the averaged generator at psi 1: Frechet distance in the offline embedder's features to as many real crops of
the same scale, that of other real crops, their ratio (scales compare by it alone), the spread of mean colours (1: as real crops), patch distance;
and images a second, cutting the tiles and other work included. `another seed` says what a difference must exceed. FOLDER keeps the runs: the same
command goes on. About 20 minutes a choice on one quiet core.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from hdgan.cli.progress import showing
from hdgan.pipeline.run import open_run, run_all

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "kidney_pas.toml"
CHOICES: dict[str, dict[str, dict[str, object]]] = {
    "recipe": {},
    "another seed": {"run": {"seed": 2}},
    "1 um/px": {"tiles": {"asked_mpp": 1.0}},
    "3 um/px": {"tiles": {"asked_mpp": 3.0, "margin": 1.33}},
    "whole width": {"generator": {"channel_base": 4096}},
    "histology-blit": {"generator": {"augment": "histology-blit"}},
    "bgc": {"generator": {"augment": "bgc"}},
    "no augmentation": {"generator": {"augment": "none"}},
    "gamma 0.4": {"generator": {"gamma": 0.4}},
    "gamma 0.025": {"generator": {"gamma": 0.025}},
    "average 1 kimg": {"generator": {"ema_kimg": 1.0}},
    "average 20 kimg": {"generator": {"ema_kimg": 20.0}},
}
"""Name to the sections and fields that differ from the recipe. (At 3 um/px a field is 192 um wide and holds most glomeruli whole; the donors' tiles of
256 um leave room to move it, but to turn it by right angles only.)"""


def main() -> None:
    """Prints a line for each choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--choices", nargs="+", default=list(CHOICES), choices=list(CHOICES))
    parser.add_argument("--kimg", type=float, default=30.0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    options = parser.parse_args()
    print("| choice | distance | real | ratio | spread of colours | patches | images/s |\n|---|---|---|---|---|---|---|")
    for name in options.choices:
        found = learn(name, options.recipe, options.out / name.replace(" ", "-").replace("/", "-per-"), options.kimg)
        numbers = f"{found['quality']:.1f} | {found['quality_floor']:.1f} | {found['quality'] / found['quality_floor']:.1f}"
        print(f"| {name} | {numbers} | {found['variety']:.2f} | {found['patch_distance']:.1f} | {found['rate']:.0f} |", flush=True)


def learn(name: str, recipe: Path, folder: Path, kimg: float) -> dict[str, float]:
    """What the training measured at its end; images a second of the calls so far, where none was cut short by force."""
    run = open_run(folder, config=recipe).changed("generator", kimg=kimg)
    for section, fields in CHOICES[name].items():
        run = run.changed(section, **fields)
    is_new, seconds, before = True, folder / "seconds.json", time.perf_counter()
    spent = json.loads(seconds.read_text()) if seconds.exists() else 0.0
    try:
        with showing() as progress:
            is_new = not run_all(run, until="generator", progress=progress)[-1].was_current
    finally:
        if is_new:
            spent += time.perf_counter() - before
            seconds.write_text(json.dumps(spent))
    lines = (run.stage("generator") / "stats.jsonl").read_text().splitlines()
    last = [row for line in lines if "quality" in (row := json.loads(line))][-1]
    return last | {"rate": last["images"] / spent}


if __name__ == "__main__":
    main()
