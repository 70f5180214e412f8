"""A set of labelled real pairs as held-out tissue: how far it lies from the training tiles, and how far samples lie from it.

Such sets are small, and a Frechet distance grows with fewer images. So all four comparisons are of equally many images, over and over with
other training crops and other samples, in one unit, and only their order says something. Labelled pairs may show far more glass than tiles do, so
on every side only images count that are as white at most as a tile may be. The pairs' masks are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdgan.downstream.real import is_white
from hdgan.downstream.sets import PairSets
from hdgan.errors import BadInput
from hdgan.measures.embedder import Embedder, scale_of
from hdgan.measures.kernel import KernelDistance
from hdgan.measures.neighbours import Manifolds
from hdgan.measures.resemblance import Resemblance, resemblance
from hdgan.pipeline.oracle import real_pairs
from hdgan.pipeline.steps import Run
from hdgan.pipeline.subject import Images, Subject, numbered, parts
from hdgan.pipeline.trained import tiles_within
from hdgan.progress import SILENT, Progress
from hdgan.randomness import stream

MOST_ROUNDS = 10
_FEWEST = 6
_TRIES = 10
_TRAINING, _AGAIN = 6 * 10**12, 7 * 10**12
"""Numbers of the first crops; no training gets there."""


class _Held:
    """Images `[S, S, 3]` by number, as tiles."""

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> np.ndarray:
        return self._images[index]


@dataclass(frozen=True)
class Whiteness:
    """Which images count: those of which at most the share `most` is white; `above` and `spread` as of `is_white`."""

    most: float
    above: int = 200
    spread: int = 25

    def passes(self, image: np.ndarray) -> bool:
        """Whether the image `[H, W, 3]` uint8 counts."""
        return self.most >= 1 or bool(is_white(image, above=self.above, spread=self.spread).mean() <= self.most)


@dataclass(frozen=True)
class HeldOut:
    """Real crops that nothing was trained on, `images [N, R, R, 3]` uint8, one of each pair of the set `name` that is not too white."""

    name: str
    images: np.ndarray
    num_pairs: int
    """Pairs of the set, white ones and all."""
    white: Whiteness
    origin: str
    """Where the set says that it comes from."""


@dataclass(frozen=True)
class Rounds:
    """Means over the rounds of a comparison; the spread of `frechet` and that within `mean.kernel` are standard deviations between rounds."""

    mean: Resemblance
    frechet_spread: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return self.mean.to_json() | {"frechet_spread": self.frechet_spread}


@dataclass(frozen=True)
class HeldOutReport:
    """Four comparisons of `num` images each, over `rounds`."""

    name: str
    pairs: int
    """Pairs in the set."""
    num: int
    """Those that are not too white, and as many of everything else."""
    rounds: int
    max_white: float
    origin: str
    floor: Rounds
    """Training crops against other training crops."""
    held_out: Rounds
    """The set against training crops: what new tissue of the same source is worth."""
    samples: Rounds
    """Samples against training crops."""
    samples_to_held_out: Rounds
    """Samples against the set."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {name: getattr(self, name).to_json() for name in ("floor", "held_out", "samples", "samples_to_held_out")}
        about = {name: getattr(self, name) for name in ("name", "pairs", "num", "rounds", "max_white", "origin")}
        return about | told


def open_held_out(run: Run, name: str, subject: Subject, *, num: int, progress: Progress = SILENT) -> HeldOut:
    """At most `num` crops of the set `name` of the run's labelled real pairs, which are cut where that was not done.

    Raises:
        BadConfig: the run has no labelled pairs.
        BadInput: there is no such set, it does not fit the generator, or training tiles reach into it.
    """
    _refuse_trained(run, name, subject)
    folder = real_pairs(run, redo=False, progress=progress)
    sets, size_px = PairSets(folder), subject.generator.resolution
    pairs = sets.part(name)
    mpp = subject.tiles.mpp
    if not math.isclose(sets.note.mpp, mpp, rel_tol=0.02):
        raise BadInput(folder, f"has pairs at {sets.note.mpp:g} um/px, the tiles at {mpp:g}", "cut them at the scale of the tiles")
    images = [pairs.image(stem) for stem in pairs.stems]
    if min(min(image.shape[:2]) for image in images) < size_px:
        raise BadInput(folder, f"the set {name!r} has images smaller than the generator's {size_px} px", "cut them as large, with real.cut")
    tiles, white = _Held(images), _whiteness(run)
    order = stream(subject.seed, "quality.held_out_set").permutation(len(images)).tolist()
    crops = [crop for i in order if white.passes(crop := subject.plain_crops(tiles, [i]).crop(i))][:num]
    if len(crops) < _FEWEST:
        what = f"of the set {name!r} {len(crops)} of {len(pairs)} pairs are no whiter than a tile may be, at least {_FEWEST} are wanted"
        raise BadInput(folder, what, "name another set, or cut more")
    return HeldOut(name, np.stack(crops), len(pairs), white, sets.note.origin)


def compare_held_out(
    subject: Subject, held_out: HeldOut, draw: Images, embedder: Embedder, *, num: int, progress: Progress = SILENT
) -> HeldOutReport:
    """The four comparisons; at most about `num` samples are drawn, in rounds of as many as the set has images."""
    size_px, each = subject.generator.resolution, len(held_out.images)
    rounds = min(MOST_ROUNDS, max(1, num // each))
    crops = subject.plain_crops(subject.tiles, subject.compared)

    def embedded(images: Images, label: str) -> np.ndarray:
        found = _tissue(images, each * rounds, size_px=size_px, white=held_out.white, label=label, progress=progress)
        return np.concatenate([embedder.embed(part) for part in found])

    training = embedded(numbered(crops, _TRAINING), "embed training crops")
    again = embedded(numbered(crops, _AGAIN), "embed other training crops")
    samples = embedded(draw, "draw and embed samples")
    held = np.concatenate([embedder.embed(part) for part in parts(lambda i, n: held_out.images[i : i + n], each, size_px, "")])
    scale = scale_of(embedder, training)

    def over(features: np.ndarray, real: np.ndarray) -> Rounds:
        pairs = zip(_rounds(features, each, rounds), _rounds(real, each, rounds), strict=True)
        return _mean([resemblance(a, real=b, scale=scale) for a, b in pairs])

    return HeldOutReport(
        held_out.name,
        held_out.num_pairs,
        each,
        rounds,
        held_out.white.most,
        held_out.origin,
        floor=over(again, training),
        held_out=over(held, training),
        samples=over(samples, training),
        samples_to_held_out=over(samples, held),
    )


def _tissue(images: Images, wanted: int, *, size_px: int, white: Whiteness, label: str, progress: Progress) -> Iterator[np.ndarray]:
    """The first `wanted` images that are not too white, some at a time.

    Raises:
        BadInput: hardly any is not.
    """
    found = 0
    progress.start(label, total=wanted)
    for part in parts(images, wanted * _TRIES, size_px, label):
        kept = [image for image in part if white.passes(image)][: wanted - found]
        found += len(kept)
        progress.advance(len(kept))
        if kept:
            yield np.stack(kept)
        if found == wanted:
            progress.finish()
            return
    progress.finish()
    what = f"{label}: only {found} of {wanted * _TRIES} images are at most {white.most:.0%} white"
    raise BadInput("quality", what, "compare without --held-out")


def _whiteness(run: Run) -> Whiteness:
    """As white as a tile of the run may be, by the rule by which the labelled pairs find white."""
    most, cut = run.config.tiles.max_background, run.config.real.cut if run.config.real else None
    return Whiteness(most) if cut is None else Whiteness(most, cut.white_above, cut.white_spread)


def _rounds(features: np.ndarray, each: int, rounds: int) -> Iterator[np.ndarray]:
    """A part of the features for each round; the same where there are only as many as for one."""
    return (features if len(features) == each else features[i * each : (i + 1) * each] for i in range(rounds))


def _mean(found: Sequence[Resemblance]) -> Rounds:
    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    kernels = [one.kernel.mean for one in found]
    shares = {name: mean([asdict(one.shares)[name] for one in found]) for name in asdict(found[0].shares)}
    kernel = KernelDistance(mean(kernels), float(np.std(kernels)) if len(found) > 1 else found[0].kernel.spread)
    frechet = [one.frechet for one in found]
    return Rounds(Resemblance(mean(frechet), kernel, Manifolds(**shares)), float(np.std(frechet)))


def _refuse_trained(run: Run, name: str, subject: Subject) -> None:
    """Of sets cut from a slide that tiles are from as well: no training tile may reach into the set's blocks."""
    within = tiles_within(run, name, (subject.tiles.rows[i] for i in subject.trained))
    if within:
        slides = ", ".join(sorted({row.slide for row in within}))
        what = f"{len(within)} training tiles of slide {slides} reach into the rows of the set {name!r}: it was not held out"
        raise BadInput(run.folder.root, what, "name a set of rows that no tile is cut from")
