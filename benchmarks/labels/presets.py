"""The presets of the pixel classifier against each other: `python benchmarks/labels/presets.py [--run RUN] [--repeats 5] [--out FILE]`.

Without `--run` on the analytic generator: exact masks, five classes of which one has about 0.3 % of the pixels; every repeat draws 16 training, 4
validation and 16 test images of its own. With `--run` on the annotated images of a run with a trained generator (its stages 4 and 5 are read):
every repeat deals them anew into parts of the same sizes, but for those that were drawn at random (its second test set). Each preset trains by its
own full schedule; its step is tuned, with one member, among those of `_STEPS`, on images that no repeat scores: all that a repeat of its own
predicts (four validation images were too few: they chose steps by noise), for a run those drawn at random, a quarter of which at a time is predicted
by what learned from the others. Printed for each preset:
step, macro Dice, micro Dice, Dice of the rarest class, boundary IoU (mean and spread over repeats), calibration error, processor seconds of a fit;
then how far `default` is ahead, repeat by repeat; and colour + filter bank under `default`, which tells what the image alone gives away.
The band of boundary IoU is whole pixels wide here, 2 at 64 px, where `hdgan evaluate` has 1.81: its numbers are not those of a report.

`--validation` scores the validation images instead of the test images: what `default` was chosen by. With `--out` every finished fit is kept in
a file of JSON lines and not done again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.stage import fit_ensemble
from hdgan.errors import Diverged
from hdgan.evaluation.filters import filter_maps
from hdgan.features.bank import FeatureBank
from hdgan.generator.protocol import TapSpec, to_uint8
from hdgan.labels import KIDNEY, ClassMap
from hdgan.measures.boundary import boundary_iou
from hdgan.measures.calibration import Reliability, reliability_of
from hdgan.measures.confusion import confusion
from hdgan.measures.scores import score
from hdgan.randomness import stream
from hdgan.store.bank import SampleBank
from hdgan.testing.analytic import AnalyticGenerator

_STEPS = {"sgd": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 3.0, 10.0, 30.0), "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)}
_FILTERS = "filters"
_TUNING = -1
"""The repeat that steps are tuned on."""
_QUARTERS = 4
"""Parts of the images drawn at random, each of which is predicted once while steps are tuned."""
Image = tuple[list[Tensor], np.ndarray]


class Parts(NamedTuple):
    """The images of one repeat, as the generator's maps and as filter responses of the picture."""

    classes: ClassMap
    maps: dict[str, list[Image]]
    filters: dict[str, list[Image]]

    def of(self, preset: str) -> dict[str, list[Image]]:
        """Training, validation and test images."""
        return self.filters if preset == _FILTERS else self.maps


class Analytic:
    """Repeats drawn from a generator that knows the truth."""

    def __init__(self, resolution: int, *, signal: float, contrast: float, sizes: tuple[int, int, int]) -> None:
        self.generator = AnalyticGenerator(resolution, has_rare_class=True, signal=signal, contrast=contrast)
        self.sizes = dict(zip(("train", "validate", "test"), sizes, strict=True))
        self.tuning_part = "test"

    def tuning(self) -> list[Parts]:
        """What steps are tuned on: a repeat that is not scored."""
        return [self.parts(_TUNING)]

    def parts(self, repeat: int) -> Parts:
        """Images of latents that no other repeat and no other part has."""
        maps: dict[str, list[Image]] = {}
        filters: dict[str, list[Image]] = {}
        generator = self.generator
        for part, num in self.sizes.items():
            maps[part], filters[part] = [], []
            for i in range(num):
                z = stream(repeat + 1, f"benchmark.presets.{part}", i).standard_normal((1, generator.z_dim), dtype=np.float32)
                w = generator.map(torch.from_numpy(z), psi=1.0)
                image, found = generator.render_taps(w, num_blocks=len(generator.block_resolutions))
                mask = generator.exact_mask(w)[0]
                maps[part].append(([m[0] for m in found], mask))
                filters[part].append(([filter_maps(to_uint8(image)[0])], mask))
        return Parts(KIDNEY, maps, filters)


class FromRun:
    """The annotated images of a run, dealt anew for every repeat."""

    def __init__(self, run: Path, *, sizes: tuple[int, int, int]) -> None:
        self.annotated, self.bank = AnnotationSet(run / "4-annotations"), FeatureBank(run / "5-features")
        self.samples = SampleBank(run / "3-samples")
        self.sizes = dict(zip(("train", "validate", "test"), sizes, strict=True))
        self.at_random = list(self.annotated.split.get("random", ()))
        if len(self.at_random) < _QUARTERS:
            raise SystemExit(
                f"{run}: steps are tuned on samples.random images, of which it has {len(self.at_random)}; annotate {_QUARTERS} or more"
            )
        self.tuning_part = "validate"

    def tuning(self) -> list[Parts]:
        """What steps are tuned on: the images drawn at random, each once in the part that is predicted."""
        quarters = [self.at_random[i::_QUARTERS] for i in range(_QUARTERS)]
        rest = [[name for name in self.at_random if name not in quarter] for quarter in quarters]
        return [self._loaded({"train": others, "validate": quarter}) for quarter, others in zip(quarters, rest, strict=True)]

    def parts(self, repeat: int) -> Parts:
        """As many images in each part as were asked for."""
        dealt = np.array([name for name in self.annotated.names if name not in self.at_random])
        names, chosen = stream(repeat, "benchmark.presets.run").permutation(dealt).tolist(), {}
        for part, num in self.sizes.items():
            chosen[part], names = names[:num], names[num:]
        return self._loaded(chosen)

    def _loaded(self, chosen: dict[str, list[str]]) -> Parts:
        maps = {part: [(list(self.bank.maps(name)), self.annotated.mask(name)) for name in names] for part, names in chosen.items()}
        filters: dict[str, list[Image]] = {}
        for part, names in chosen.items():
            pictures = [self.samples.image(self.samples.by_name(name).index) for name in names]
            filters[part] = [([filter_maps(picture)], mask) for picture, (_, mask) in zip(pictures, maps[part], strict=True)]
        return Parts(self.annotated.classes, maps, filters)


def _band(region: np.ndarray, distance_px: int) -> np.ndarray:
    inner = ndimage.binary_erosion(np.pad(region, 1), np.ones((3, 3), dtype=bool), iterations=distance_px)
    return region & ~inner[1:-1, 1:-1]


def measure(parts: Parts, preset: str, config: ClassifierConfig, *, part: str, seed: int) -> dict[str, Any]:
    """One fit and its scores on the images of `part`."""
    images = parts.of(preset)
    taps = [TapSpec(f"map{i}", len(m), m.shape[-1]) for i, m in enumerate(images["train"][0][0])]
    begun = time.process_time()
    fitted, curve = fit_ensemble(
        images["train"], images["validate"], config, classes=parts.classes, taps=taps, facts={"num_blocks": 0}, seed=seed
    )
    seconds = time.process_time() - begun
    num_classes, size = len(parts.classes), images["train"][0][1].shape[0]
    matrix, outlines = np.zeros((num_classes,) * 2, dtype=np.int64), []
    certainty: Reliability | None = None
    for maps, mask in images[part]:
        said = fitted.predict(maps, size=size)
        matrix += confusion(mask, said.mask, num_classes)
        outlines.append(boundary_iou(mask, said.mask, num_classes, distance_px=max(1, round(0.02 * 2**0.5 * size))))
        one = reliability_of(said.confidence, said.mask, mask)
        certainty = one if certainty is None else certainty + one
    scores = score(matrix)
    in_truth = scores.frequency > 0
    rarest = int(np.argmin(np.where(in_truth, scores.frequency, np.inf)))
    assert certainty is not None
    return {
        "macro": float(scores.dice[in_truth].mean()),
        "micro": scores.pixel_accuracy,
        "rarest": float(scores.dice[rarest]),
        "boundary": float(np.nanmean(np.nanmean(np.stack(outlines)[:, in_truth], axis=0))),
        "ece": certainty.ece,
        "seconds": seconds,
        "epochs": len(curve) / config.members,
    }


class Kept:
    """Finished fits, in memory and in a file of JSON lines where there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            self.rows = {row["key"]: row for row in map(json.loads, path.read_text().splitlines())}

    def get(self, key: str, work: Any) -> dict[str, Any]:
        """The row called `key`, from `work()` where it is not there yet."""
        if key not in self.rows:
            self.rows[key] = {"key": key, **work()}
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps(self.rows[key]) + "\n")
        return self.rows[key]


def configured(preset: str, options: argparse.Namespace) -> ClassifierConfig:
    """The preset's settings, and what the command line changes."""
    fields: dict[str, Any] = {"preset": "default" if preset == _FILTERS else preset}
    fields |= {"epochs": options.epochs} if options.epochs else {}
    fields |= {"tap_weights": options.tap_weights} if options.tap_weights else {}
    return ClassifierConfig(**fields | ({"members": options.members} if options.members else {}))


def tuned_step(source: Analytic | FromRun, preset: str, config: ClassifierConfig, kept: Kept) -> float:
    """The step of the best macro Dice on images that are never scored, one member."""
    dealt, merit = None, {}
    for lr in _STEPS[config.optimiser]:
        key = f"tune {preset} {lr:g} {config.epochs} {config.tap_weights}"
        if key not in kept.rows:
            dealt = dealt or source.tuning()
        alone = config.model_copy(update={"lr": lr, "members": 1})
        merit[lr] = kept.get(key, lambda alone=alone, dealt=dealt: _tried(dealt, preset, alone, part=source.tuning_part))["macro"]
    return max(merit, key=lambda lr: (merit[lr], -lr))


def _tried(dealt: list[Parts], preset: str, config: ClassifierConfig, *, part: str) -> dict[str, Any]:
    """The mean scores of a step that may be too large to train by at all."""
    try:
        rows = [measure(parts, preset, config, part=part, seed=0) for parts in dealt]
    except Diverged:
        return {"macro": 0.0}
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def scored(source: Analytic | FromRun, options: argparse.Namespace, kept: Kept) -> Iterator[tuple[str, float, list[dict[str, Any]]]]:
    """For each preset its step and a row for each repeat."""
    part = "validate" if options.validation else "test"
    for preset in options.presets:
        config = configured(preset, options)
        lr = tuned_step(source, preset, config, kept)
        config = config.model_copy(update={"lr": lr})
        rows = []
        for repeat in range(options.first_repeat, options.first_repeat + options.repeats):
            key = f"{part} {preset} {lr:g} {config.epochs} {config.members} {config.tap_weights} repeat {repeat}"
            rows.append(kept.get(key, lambda c=config, r=repeat, p=preset: measure(source.parts(r), p, c, part=part, seed=r)))
        yield preset, lr, rows


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.4f}"


def main() -> None:
    """Prints a row for each preset, then the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--first-repeat", type=int, default=0, help="a later one leaves out those that were looked at")
    parser.add_argument("--presets", nargs="+", default=["default", "hdgan-paper", "hdgan-code", "datasetgan", "linear", _FILTERS])
    parser.add_argument("--sizes", type=int, nargs=3, default=(16, 4, 16), metavar=("TRAIN", "VALIDATE", "TEST"))
    parser.add_argument("--resolution", type=int, default=64, help="of the analytic generator")
    parser.add_argument("--signal", type=float, default=0.6, help="how much its maps know; 1 is easy")
    parser.add_argument("--contrast", type=float, default=0.3, help="how unlike each other classes look in its pictures; 1 is plain to see")
    parser.add_argument("--validation", action="store_true", help="score the validation images, not the test images")
    parser.add_argument("--tap-weights", choices=("channels", "maps", "fine"), help="instead of each preset's own")
    parser.add_argument("--epochs", type=int, help="instead of each preset's own: for trying the command out")
    parser.add_argument("--members", type=int, help="likewise")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes = tuple(options.sizes)
    source = (
        FromRun(options.run, sizes=sizes)
        if options.run
        else Analytic(options.resolution, signal=options.signal, contrast=options.contrast, sizes=sizes)
    )
    print(
        f"{'preset':12} {'step':>7} {'macro Dice':>17} {'micro Dice':>17} {'rarest class':>17} {'boundary IoU':>17} {'ECE':>6} {'epochs':>6} {'cpu s':>6}"
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for preset, lr, rows in scored(source, options, Kept(options.out)):
        found[preset] = rows
        columns = " ".join(f"{spread([row[name] for row in rows]):>17}" for name in ("macro", "micro", "rarest", "boundary"))
        means = [float(np.mean([row[name] for row in rows])) for name in ("ece", "epochs", "seconds")]
        print(f"{preset:12} {lr:7g} {columns} {means[0]:6.3f} {means[1]:6.1f} {means[2]:6.1f}", flush=True)
    for preset in [name for name in found if name != "default" and "default" in found]:
        ahead = {name: [a[name] - b[name] for a, b in zip(found["default"], found[preset], strict=True)] for name in ("macro", "boundary")}
        text = ", ".join(f"{name} {spread(values)} ({sum(v > 0 for v in values)} of {len(values)})" for name, values in ahead.items())
        print(f"default - {preset}: {text}")


if __name__ == "__main__":
    main()
