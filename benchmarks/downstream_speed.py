"""What the fast paths of the segmenter's and the pixel classifier's training bring: `python benchmarks/downstream_speed.py [--out FILE]`.

Prints images per second of a segmenter's training step (`hdgan.downstream.fit`, its crops and their augmentation among it) and pixels per
second of a classifier's (`hdgan.classifier.fit`), and the ratio to the plain formulation: torch's own dropout, Adam's step tensor by tensor,
maps stored plane by plane. Then each piece alone beside the plain rest, then ours, which has them all. The ways take turns, `--rounds`
times; the median step counts. Without dropout all ways compute the same weights to rounding (`tests/benchmarks`).
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from hdgan.classifier import fit as classifier_fit
from hdgan.classifier import mlp
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.member import new_member
from hdgan.downstream import fit as segmenter_fit
from hdgan.downstream import segmenter
from hdgan.downstream.config import SegmenterConfig
from hdgan.downstream.segmenter import Segmenter
from hdgan.labels import KIDNEY
from hdgan.progress import Silent
from hdgan.testing.painter import paint

DROPOUT, ADAM, LAYOUT = "cheap dropout", "fused Adam", "channels last"
PIECES = {"segmenter": (DROPOUT, ADAM, LAYOUT), "classifier": (DROPOUT, ADAM)}


def main() -> None:
    """Prints a line for each training and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="edge of the segmenter's crops, px")
    parser.add_argument("--batch", type=int, default=16, help="crops in a step")
    parser.add_argument("--steps", type=int, default=8, help="of the segmenter in a round, the first one not counted")
    parser.add_argument("--pixels", type=int, default=32768, help="of the classifier in a round, 1024 a step")
    parser.add_argument("--channels", type=int, default=515, help="of a pixel's features")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    work = {
        "segmenter": functools.partial(segmenter_speeds, size_px=options.size, batch=options.batch, steps=options.steps),
        "classifier": functools.partial(classifier_speeds, num_pixels=options.pixels, num_channels=options.channels),
    }
    rows = [row for training, speeds in work.items() for row in compared(training, speeds, rounds=options.rounds)]
    if options.out:
        options.out.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))


def compared(training: str, speeds: Callable[[], list[float]], *, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each way, printed."""
    pieces = PIECES[training]
    ways: dict[str, Sequence[str]] = {"plain": (), **{piece: (piece,) for piece in pieces}, "ours": pieces}
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, used in ways.items():
            with only(used):
                found[way] += speeds()
    median = {way: statistics.median(values) for way, values in found.items()}
    unit = "images/s" if training == "segmenter" else "pixels/s"
    for way, speed in median.items():
        print(f"{training:10}  {way:13}  {speed:11,.1f} {unit}  {speed / median['plain']:.2f} x", flush=True)
        yield {"training": training, "way": way, "per_second": speed, "ratio": speed / median["plain"]}


@contextmanager
def only(pieces: Sequence[str]) -> Iterator[None]:
    """Of the fast paths those named, the plain formulation of the others."""
    with ExitStack() as stack:
        if DROPOUT not in pieces:
            stack.enter_context(mock.patch.object(mlp, "Dropout", nn.Dropout))
            stack.enter_context(mock.patch.object(segmenter, "with_our_dropout", lambda network: network))
        if ADAM not in pieces:
            stack.enter_context(mock.patch.object(torch.optim, "AdamW", _one_by_one(torch.optim.AdamW)))
        if LAYOUT not in pieces:
            stack.enter_context(mock.patch.object(segmenter_fit, "untrained", _by_planes(segmenter_fit.untrained)))
            stack.enter_context(mock.patch.object(segmenter_fit, "_batch", _in_planes(segmenter_fit._batch)))
        yield


def _one_by_one(optimiser: type[torch.optim.AdamW]) -> Callable[..., torch.optim.AdamW]:
    return lambda parameters, **options: optimiser(parameters, **options | {"fused": False, "foreach": False})


def _by_planes(untrained: Callable[..., Segmenter]) -> Callable[..., Segmenter]:
    def planes(*given: Any, **named: Any) -> Segmenter:
        made = untrained(*given, **named)
        made.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return made

    return planes


def _in_planes(batch: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    def planes(*given: Any, **named: Any) -> tuple[Tensor, Tensor]:
        images, labels = batch(*given, **named)
        return images.contiguous(), labels

    return planes


class _Clock(Silent):
    """The moments at which steps were done."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def advance(self, steps: int = 1, *, note: str = "") -> None:  # noqa: ARG002 - as `Progress` has it
        self.moments.append(time.perf_counter())


@functools.cache
def _pairs(size_px: int) -> segmenter_fit.HeldPairs:
    """Sixteen painted images with their masks, with room for crops that are turned."""
    painted = [paint(i, size_px=size_px * 3 // 2, mpp=2.0) for i in range(16)]
    return segmenter_fit.HeldPairs([one.image for one in painted], [one.mask for one in painted])


def segmenter_speeds(*, size_px: int, batch: int, steps: int) -> list[float]:
    """Images per second of each step but the first."""
    clock, config = _Clock(), SegmenterConfig(crop_px=size_px, batch=batch, steps=steps)
    segmenter_fit.fit_segmenter(_pairs(size_px), config, classes=KIDNEY, mpp=2.0, name="speed", seed=0, progress=clock)
    return [batch / float(seconds) for seconds in np.diff(clock.moments)]


def classifier_speeds(*, num_pixels: int, num_channels: int) -> list[float]:
    """Pixels per second of a pass over `num_pixels` random pixels of `num_channels` features, after a warm-up of two steps."""
    config = ClassifierConfig()  # type: ignore[call-arg]
    draws = torch.Generator().manual_seed(0)
    features = torch.randn(num_pixels, num_channels, generator=draws)
    labels = torch.randint(len(KIDNEY), (num_pixels,), generator=draws)
    member = new_member(config, num_in=num_channels, num_classes=len(KIDNEY), seed=0, number=0)
    warm = 2 * config.batch_pixels
    classifier_fit._epoch(member, features[:warm], labels[:warm], config, weights=None)
    begun = time.perf_counter()
    classifier_fit._epoch(member, features, labels, config, weights=None)
    return [num_pixels / (time.perf_counter() - begun)]


if __name__ == "__main__":
    main()
