"""Labelling one image: ours against the published way, with the same weights on the same image, each way in processes of its own.

`python benchmarks/labels/predict.py [--resolutions 1024] [--heads 1 10] [--threads 2] [--rounds 3] [--ways ours published]
[--scratch FOLDER] [--out FILE]`. A generator of our own (initial weights, channel base 32768) draws the image and the taps of its last five
blocks in each process; nothing of ours is on disk. `published` (see `published.py`) writes and reads an array of all channels in FOLDER:
8.3 GB at 1024 px, 33 GB at 4096 px. Prints for each way

- seconds of drawing and of labelling, on the wall and of the processor (on a busy machine only these compare), the least of all rounds (one
  round for the published way); ours draws the last layer, and the image, row by row while it labels: that counts as drawing, with its share
  of the wall time;
- peak memory above that of a process which has imported torch, in drawing, in labelling and in all; pages of a mapped array count where
  they are in memory, so the part that the process has for itself stands beside it; of ours, what `hdgan run --plan` says of making pairs too;

and then what ours is to the published one, whether their labels and logits agree, what maps rounded to float16 change (storage, not prediction),
several heads in one pass beside one, the share of the processor's own rate of multiplication that one head reaches, and where its time goes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import torch
from published import label, refuse_if_full, write_array
from rates import memory_by_phase, needed_products, stages

from hdgan.classifier.factored import fold, predicted
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import TrainedGenerator
from hdgan.pipeline.estimates import labelling_bytes
from machine import Meter, multiply_rates

NUM_CLASSES = 5


def main() -> None:
    """Prints the rows of each resolution."""
    options = parsed()
    torch.set_num_threads(options.threads)
    if options.worker:
        way, resolution, heads, folder = options.worker
        worker(way, int(resolution), int(heads), Path(folder), options)
        return
    rows = [row for resolution in options.resolutions for row in compare(resolution, options)]
    if options.out:
        options.out.write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=1))


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[1024])
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--hidden", type=int, nargs="*", default=[128, 32])
    parser.add_argument("--ways", nargs="+", default=["ours", "published"], choices=["ours", "published"])
    parser.add_argument("--array", default="float32", choices=["float32", "float16"], help="numbers of the published way's array")
    parser.add_argument("--channel-base", type=int, default=32768)
    parser.add_argument("--channel-max", type=int, default=512)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="folder for the array and the results (default: the system's)")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def scene(resolution: int, num_heads: int, options: argparse.Namespace) -> tuple[TrainedGenerator, list[PixelMlp]]:
    """Generator and heads, equal in every process."""
    torch.manual_seed(0)
    spec = NetworkSpec(resolution=resolution, channel_base=options.channel_base, channel_max=options.channel_max)
    generator = TrainedGenerator(Generator(spec), mpp=None)
    num_channels = sum(tap.channels for tap in generator.taps(options.blocks))
    heads = [PixelMlp(num_channels, NUM_CLASSES, hidden=options.hidden, dropout=0.3).eval() for _ in range(num_heads)]
    for linear in (linear for head in heads for linear in head.linears):
        torch.nn.init.kaiming_normal_(linear.weight)  # wide enough that heads tell places apart, or equal labels would say nothing
        torch.nn.init.zeros_(linear.bias)
    return generator, heads


class Finest:
    """The last map of an image, by rows in `dtype`, and the processor time `spent` on them."""

    def __init__(self, draw: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]], dtype: torch.dtype = torch.float32) -> None:
        self._draw, self._dtype, self.spent = draw, dtype, [0.0]

    def __call__(self, first: int, last: int) -> torch.Tensor:
        """Rows `first` to `last - 1`, `[C, rows, R]`."""
        begun = time.thread_time()
        found = self._draw(first, last)[0][0].to(self._dtype)
        self.spent.append(time.thread_time() - begun)
        return found


def drawn(generator: TrainedGenerator, way: str, options: argparse.Namespace) -> tuple[list[torch.Tensor], Finest | None]:
    """The maps, and the last one apart where it is drawn by rows."""
    w = generator.map(torch.ones(1, 512), psi=0.7)
    unfinished = None if way == "published" else generator.begin(w, num_blocks=options.blocks)
    if unfinished is None:
        return [m[0] for m in generator.render_taps(w, num_blocks=options.blocks)[1]], None
    return [m[0] for m in unfinished.maps], Finest(unfinished.rows, torch.float16 if way == "float16" else torch.float32)


def standardiser_of(maps: list[torch.Tensor], finest: Finest | None, size: int) -> Standardiser:
    """Of every 8th cell of every 8th row."""
    few = [m[:, ::8, ::8].flatten(1) for m in maps]
    if finest is not None:
        few.append(torch.cat([finest(row, row + 1)[:, 0, ::8].float() for row in range(0, size, 8)], dim=1))
    mean, std = torch.cat([f.mean(dim=1) for f in few]), torch.cat([f.std(dim=1) for f in few])
    return Standardiser(mean, std.clamp(min=1e-3))


@torch.no_grad()
def worker(way: str, resolution: int, num_heads: int, folder: Path, options: argparse.Namespace) -> None:
    """One way in this process: figures into `folder`/WAY.json, labels and logits into WAY.npz."""
    memory = memory_by_phase()
    generator, heads = scene(resolution, num_heads, options)
    with Meter() as drawing:
        maps, finest = drawn(generator, way, options)
    num_products = needed_products(heads[0], maps, resolution)
    standardiser = standardiser_of(maps, finest, resolution)
    if way == "float16":
        for i, m in enumerate(maps):
            maps[i] = m.half()
    spec = generator.spec
    del generator
    memory.next_phase("drawing")
    facts: dict[str, Any] = {"maps_mib": sum(m.numel() * m.element_size() for m in maps) / 2**20}
    if way == "ours":
        facts["planned_mib"] = labelling_bytes(spec, num_blocks=options.blocks) / 2**20
    if way == "published":
        array = folder / "features.array"
        try:
            with Meter() as writing:
                write_array(array, maps, size=resolution, dtype=options.array)
            with Meter() as reading:
                labels, kept = label(array, heads[0], standardiser, size=resolution, dtype=options.array)
            facts["array_mib"] = array.stat().st_size / 2**20
        finally:
            array.unlink(missing_ok=True)
        facts |= {"write": writing.to_json(), "read": reading.to_json(), "label": (writing + reading).to_json()}
    else:
        folded = fold(heads, standardiser)
        labels, kept = np.empty((resolution, resolution), dtype=np.uint8), []
        rounds: list[tuple[Meter, Meter]] = []
        for _ in range(options.rounds):
            kept.clear()
            if finest is not None:
                finest.spent.clear()
            with Meter() as labelling:
                for first, (found, sparse) in predicted(folded, maps, size=resolution, then=label_strip, finest=finest):
                    labels[first : first + len(found)] = found
                    kept.append(sparse)
            rounds.append(apart(labelling, 0.0 if finest is None else sum(finest.spent)))
        kept = np.concatenate(kept, axis=1)
        facts["label"] = Meter.least([labelling for labelling, _ in rounds]).to_json()
        drawing += Meter.least([last_layer for _, last_layer in rounds])
    facts["draw"] = drawing.to_json()
    memory.next_phase("labelling")
    facts["memory"] = memory.close()
    if way == "ours" and num_heads == 1:
        facts["rates"] = multiply_rates(options.threads) | {"needed": num_products}
        facts["stages"] = stages(folded, maps if finest is None else [*maps, finest(0, resolution)], resolution)
    (folder / f"{way}.json").write_text(json.dumps(facts))
    np.savez(folder / f"{way}.npz", labels=labels, logits=kept)


def apart(labelling: Meter, spent: float) -> tuple[Meter, Meter]:
    """Labelling alone, and the drawing of the last layer in it, which took `spent` s of processor time."""
    drawing = Meter(labelling.wall * spent / labelling.cpu, spent)
    return Meter(labelling.wall - drawing.wall, labelling.cpu - spent), drawing


def label_strip(found: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Labels `[rows, R]` of logits `[M, K, rows, R]`, and the first head's logits of every 8th pixel of every 8th row."""
    mean = found[0] if len(found) == 1 else found.softmax(dim=1).mean(dim=0)
    return mean.argmax(dim=0).to(torch.uint8).numpy(), found[0, :, ::8, ::8].contiguous().numpy()


def run(way: str, resolution: int, num_heads: int, options: argparse.Namespace) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Figures, labels and logits of one way, from a process of its own."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        if way == "published":
            spec = NetworkSpec(resolution=resolution, channel_base=options.channel_base, channel_max=options.channel_max)
            edges = spec.block_resolutions[-options.blocks :]
            num_channels = sum(spec.channels(edge) * (1 if edge == 4 else 2) for edge in edges)
            refuse_if_full(Path(folder), num_channels=num_channels, size=resolution, dtype=options.array)
        given = ["--worker", way, resolution, num_heads, folder, "--hidden", *options.hidden]
        for name in ("blocks", "array", "channel_base", "channel_max", "threads", "rounds"):
            given += [f"--{name.replace('_', '-')}", getattr(options, name)]
        subprocess.run([sys.executable, __file__, *map(str, given)], check=True)
        facts = json.loads((Path(folder) / f"{way}.json").read_text())
        with np.load(Path(folder) / f"{way}.npz") as held:
            return facts, held["labels"], held["logits"]


def compare(resolution: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one resolution."""
    rows: list[dict[str, Any]] = []

    def add(way: str, num_heads: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        facts, labels, logits = run(way, resolution, num_heads, options)
        facts = {"resolution": resolution, "way": way, "heads": num_heads, **facts}
        rows.append(facts)
        print(line_of(facts), flush=True)
        return facts, labels, logits

    if "ours" in options.ways:
        found = {num: add("ours", num) for num in options.heads}
        facts, labels, logits = found[min(found)]
        for num in sorted(found)[1:]:
            ratios = [found[num][0]["label"][clock] / facts["label"][clock] for clock in ("wall", "cpu")]
            rows[-1][f"to_{min(found)}_heads"] = ratios
            print(
                f"       {num} heads take {ratios[0]:.2f} times the wall time of {min(found)} and {ratios[1]:.2f} times the processor time"
            )
        half = add("float16", min(found))
        rows[-1] |= agreement(half[1:], (labels, logits), "       float16 maps against float32")
        if "rates" in facts:
            print_bounds(facts)
    if "published" in options.ways:
        theirs = add("published", 1)
        if "ours" in options.ways and min(options.heads) == 1:
            print_ratios(facts, theirs[0])
            rows[-1] |= agreement((labels, logits), theirs[1:], "       ours against published")
    return rows


def line_of(facts: dict[str, Any]) -> str:
    """The figures of a way."""
    parts = [f"{facts['resolution']:5} px  {facts['way']:9} {facts['heads']:2} heads:"]
    for phase in ("draw", "label", "write", "read"):
        if phase in facts:
            parts.append(f"{phase} {facts[phase]['wall']:.2f} s ({facts[phase]['cpu']:.2f} s cpu)")
    memory = facts["memory"]
    parts.append(
        f"peak {memory['drawing']:,.0f} MiB drawing, {memory['labelling']:,.0f} labelling ({memory['labelling_own']:,.0f} its own)"
    )
    if "planned_mib" in facts:
        parts.append(f"planned {facts['planned_mib']:,.0f}")
    parts.append(f"maps {facts['maps_mib']:,.0f} MiB, array {facts.get('array_mib', 0):,.0f} MiB on disk")
    return "  ".join(parts)


def agreement(ours: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...], head: str) -> dict[str, float]:
    """Printed: the share of equal labels, what one label alone would give, and the largest difference of a logit over the largest logit."""
    equal = float((ours[0] == other[0]).mean())
    commonest = float(np.bincount(other[0].ravel()).max() / other[0].size)
    difference = float(np.abs(ours[1] - other[1]).max() / np.abs(other[1]).max())
    print(
        f"{head}: {equal:.5%} of labels equal (the commonest has {commonest:.0%}), largest difference of a logit {difference:.1e} of the largest"
    )
    return {"labels_equal": equal, "commonest_label": commonest, "largest_difference": difference}


def print_ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """How many times the published way's figures are ours."""
    for name, phases in (("labelling", ("label",)), ("drawing and labelling", ("draw", "label"))):
        wall, cpu = (sum(theirs[p][c] for p in phases) / sum(ours[p][c] for p in phases) for c in ("wall", "cpu"))
        print(f"       {name}: {wall:.1f} times faster on the wall, {cpu:.1f} times less processor time")
    peaks = [max(facts["memory"]["drawing"], facts["memory"]["labelling"]) for facts in (theirs, ours)]
    above = [max(facts["memory"]["labelling"] - facts["maps_mib"], 1.0) for facts in (theirs, ours)]
    own = theirs["memory"]["labelling_own"] / ours["memory"]["labelling_own"]
    print(f"       peak memory: {peaks[0] / peaks[1]:.1f} times less in all, {above[0] / above[1]:.0f} times less above the maps")
    print(f"       without pages of the mapped array: {own:.1f} times less in labelling", flush=True)


def print_bounds(facts: dict[str, Any]) -> None:
    """The share of the processor's rate, and where the time goes."""
    rates = facts["rates"]
    for clock in ("wall", "cpu"):
        reached = rates["needed"] / facts["label"][clock]
        print(
            f"       products that no way can leave out: {reached / 1e9:.1f} G/s of {clock} time, {reached / rates[clock]:.0%} of the "
            f"{rates[clock] / 1e9:.0f} G/s of a large square product"
        )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in facts["stages"]["shares"].items())
    print(f"       one thread's time: {shares}")
    for name, found in facts["stages"]["products"].items():
        print(f"       {name}: {found['per_pixel']:,.0f} products a pixel, at {found['rate'] / rates['one_thread']:.0%} of a thread's rate")


if __name__ == "__main__":
    main()
