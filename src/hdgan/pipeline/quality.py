"""How good a run's generator is: its samples beside real crops, and whether any of them is a copy of a training tile.

Reads `1-tiles/` and `2-generator/`, and writes into `quality/` beside the stages, so no manifest changes. What the numbers mean:
docs/concepts/image-quality.md; the file: docs/formats/quality.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hdgan.errors import BadConfig
from hdgan.generator.weights import TrainedGenerator
from hdgan.generator.yardstick import Yardstick
from hdgan.measures.copies import CopyReport, CropSearch, Nearest, copies
from hdgan.measures.embedder import Embedder, scale_of
from hdgan.measures.resemblance import Resemblance, resemblance
from hdgan.measures.scattering import Scattering
from hdgan.pipeline.held_out import HeldOut, HeldOutReport, compare_held_out, open_held_out
from hdgan.pipeline.run import open_run
from hdgan.pipeline.subject import FOLDER, Images, Subject, numbered, open_subject, parts, slug
from hdgan.plots.sheets import contact_sheet, numbered_sheet, scaled
from hdgan.progress import SILENT, Progress
from hdgan.randomness import stream
from hdgan.store.archive import TileArchive
from hdgan.store.atomic import write_json, write_png
from hdgan.store.layout import RunFolder

SCHEMA = 1
MAX_SEARCHED = 500
"""Samples that are compared with every training crop: the search takes most of the time."""
SHEET_IMAGES = 36
"""Samples on the sheet of all, number 0 and on."""
_REAL, _AGAIN, _HELD_OUT, _OTHERS = (k * 10**12 for k in (2, 3, 4, 5))
"""Numbers of the first crop of each set; no training gets there."""
_SHOWN = 8
_TURN_STEP = 15
_SHEET_PX = 128


@dataclass(frozen=True)
class Quality:
    """What was measured, and where it was written."""

    samples: Resemblance
    """Samples against training crops."""
    floor: Resemblance
    """Other training crops against the same: no generator can be expected to do better."""
    held_out: Resemblance | None
    """Crops of the held-out fold against training crops: how far apart real patients are."""
    samples_to_held_out: Resemblance | None
    held_out_set: HeldOutReport | None
    """The same questions for a named set of held-out pairs, with as many images on every side."""
    copies: CopyReport | None
    """Judged by training crops searched without their own tiles; None where no tile can be left out: all overlap."""
    copies_by_set: CopyReport | None
    """Judged by crops of the named set instead."""
    about: dict[str, Any]
    """Of what, with what."""
    path: Path


_Compared = tuple[Resemblance, Resemblance, Resemblance | None, Resemblance | None]


@dataclass(frozen=True)
class _Searched:
    """The nearest training crops of samples, of training crops without their own tiles, and of a held-out set; tiles by their number in the archive."""

    samples: Nearest
    others: Nearest | None
    held_out: Nearest | None


def measure_quality(
    root: Path,
    *,
    num: int,
    psi: float,
    seed: int = 0,
    condition: str | None = None,
    held_out_set: str | None = None,
    may_show: Collection[str] = (),
    embedder: Embedder | None = None,
    progress: Progress = SILENT,
) -> Quality:
    """The quality of the generator of the run in `root`, by `num` samples at truncation `psi`, and as many real crops.

    The samples belong to `seed` and are none of those that the samples stage draws. With a `condition`, samples and training crops are of that label
    alone. `held_out_set` names real pairs of the run on which nothing was trained. Of the slides `may_show` (none named: of all) real crops are shown.

    Raises:
        BadConfig: there is no such label, no labelled pairs, or no such slide.
        BadInput: the tiles were not cut, there are no weights, or the set is not held out or does not fit.
        DamagedArtifact: the weights or a tile cannot be read.
    """
    subject = open_subject(RunFolder(root), seed=seed, condition=condition)
    known_slides(subject.tiles, may_show)
    held = None if held_out_set is None else open_held_out(open_run(root), held_out_set, subject, num=num, progress=progress)
    draw, size_px = subject.drawing(psi=psi), subject.generator.resolution
    stem = subject.file_name(f"psi-{psi:.2f}")
    path = root / FOLDER / (f"{stem}.json" if embedder is None else f"{stem}.{slug(embedder.name)}.json")
    embedder = embedder or Scattering(size_px)
    compared = _compared(subject, draw, embedder, num=num, progress=progress)
    held_report = None if held is None else compare_held_out(subject, held, draw, embedder, num=num, progress=progress)
    searched = _search(subject, draw, held, num=min(num, MAX_SEARCHED), progress=progress)
    quality = Quality(
        *compared,
        held_out_set=held_report,
        copies=_report(searched, "others"),
        copies_by_set=_report(searched, "held_out"),
        about={
            "num": num,
            "psi": psi,
            "seed": seed,
            "condition": condition,
            "inputs": subject.inputs,
            "embedder": {"name": embedder.name, "hash": embedder.content_hash, "features": embedder.num_features},
            "tiles": {"trained": len(subject.trained), "compared": len(subject.compared), "held_out": len(subject.held_out)},
            **({"remarks": list(subject.remarks)} if subject.remarks else {}),
        },
        path=path,
    )
    write_json(quality.path, _to_json(quality, searched, subject, may_show))
    if searched:
        _write_closest(searched.samples, draw, subject, may_show, quality.path.with_suffix(".closest.png"))
    write_sheet(subject, draw, root / FOLDER / f"{subject.file_name(f'samples-psi-{psi:.2f}')}.png")
    return quality


def write_sheet(subject: Subject, draw: Images, path: Path) -> None:
    """Samples number 0 to 35, none left out, each under its number."""
    drawn = (image for part in parts(draw, SHEET_IMAGES, subject.generator.resolution, "") for image in part)
    write_png(path, numbered_sheet([scaled(image, least_px=_SHEET_PX) for image in drawn], first=0))


def known_slides(tiles: TileArchive, names: Collection[str]) -> None:
    """Lets pass the names of slides that tiles are from.

    Raises:
        BadConfig: no tile is from one of them.
    """
    known = {row.slide for row in tiles.rows}
    if unknown := sorted(set(names) - known):
        some = ", ".join(sorted(known)[:8]) + (", ..." if len(known) > 8 else "")
        raise BadConfig("slide", f"no tile is from a slide {unknown[0]!r}", f"slides are {some}")


def yardstick_of(root: Path, *, num: int) -> Callable[[TrainedGenerator], float]:
    """A measure of other snapshots of the run's generator: Frechet distance of `num` draws to as many real crops, smaller is better.

    Raises:
        BadInput: the tiles were not cut, or there are no weights.
    """
    subject = open_subject(RunFolder(root), seed=0)
    yardstick = Yardstick(subject.crops(subject.trained), num=num)

    def distance(generator: TrainedGenerator) -> float:
        def draw(z: Tensor, _labels: Sequence[int] | None) -> Tensor:
            return generator.render(generator.map(z, psi=1.0))

        return yardstick.distance(draw, z_dim=generator.z_dim, device=generator.device)

    return distance


def _compared(subject: Subject, draw: Images, embedder: Embedder, *, num: int, progress: Progress) -> _Compared:
    """Samples, other training crops and crops of the held-out fold against training crops, `num` of each."""
    size_px, crops = subject.generator.resolution, subject.crops(subject.compared)

    def embedded(images: Images, label: str) -> np.ndarray:
        return np.concatenate([embedder.embed(part) for part in parts(images, num, size_px, label, progress)])

    real, again = (embedded(numbered(crops, first), "embed real crops") for first in (_REAL, _AGAIN))
    samples, scale = embedded(draw, "draw and embed samples"), scale_of(embedder, real)
    held_out = embedded(numbered(subject.crops(subject.held_out), _HELD_OUT), "embed held-out crops") if subject.held_out else None
    return (
        resemblance(samples, real=real, scale=scale),
        resemblance(again, real=real, scale=scale),
        None if held_out is None else resemblance(held_out, real=real, scale=scale),
        None if held_out is None else resemblance(samples, real=held_out, scale=scale),
    )


def _search(subject: Subject, draw: Images, held: HeldOut | None, *, num: int, progress: Progress) -> _Searched | None:
    """What the nearest training crops are, of any label; None where every tile overlaps every other and nothing was held out.

    Real crops come from the training tiles themselves, so the donors are the same, and are searched without the tiles that show the same place.
    """
    size_px, tiles, chosen = subject.generator.resolution, subject.tiles, subject.trained
    overlapping = {i: _overlapping(tiles, chosen, i) for i in subject.compared}
    usable = [i for i, others in overlapping.items() if len(others) < len(chosen)]
    if not usable and held is None:
        return None
    edge = tiles.rows[chosen[0]].size_px
    step = _TURN_STEP if subject.is_turned and edge >= math.ceil(size_px * math.sqrt(2)) else 90
    search = CropSearch((tiles.read(i) for i in chosen), size_px=size_px, step_degrees=step)
    picks: list[int] = stream(subject.seed, "quality.held_out").choice(usable, size=num).tolist() if usable else []
    drawn = [search.prepared(part) for part in parts(draw, num, size_px, "draw samples to compare", progress)]
    real = [search.prepared(subject.crops([i]).crop(_OTHERS + k)[None]) for k, i in enumerate(picks)]
    new = [] if held is None else [search.prepared(image[None]) for image in held.images[:MAX_SEARCHED]]
    left_out = [frozenset[int]()] * num + [overlapping[i] for i in picks] + [frozenset[int]()] * len(new)
    found = search.nearest(np.concatenate([*drawn, *real, *new]), left_out=left_out, progress=progress)
    numbers, end = np.array(chosen)[found.tile], num + len(real)

    def part(first: int, stop: int) -> Nearest | None:
        p = slice(first, stop)
        return Nearest(found.distance[p], numbers[p], found.xy_px[p]) if stop > first else None

    samples = part(0, num)
    assert samples is not None, "num is at least 1"
    return _Searched(samples, part(num, end), part(end, end + len(new)))


def _report(searched: _Searched | None, by: str) -> CopyReport | None:
    """The samples judged by the distances of real crops `by` ("others", "held_out"); None where there are none."""
    real: Nearest | None = None if searched is None else getattr(searched, by)
    return None if searched is None or real is None else copies(searched.samples.distance, real.distance)


def _overlapping(tiles: TileArchive, chosen: Sequence[int], number: int) -> frozenset[int]:
    """Places in `chosen` of the tiles that share tissue with tile `number`, itself among them."""
    row = tiles.rows[number]
    return frozenset(
        k
        for k, other in enumerate(tiles.rows[i] for i in chosen)
        if other.slide == row.slide and max(abs(other.x_px - row.x_px), abs(other.y_px - row.y_px)) < row.level0_px
    )


def _to_json(quality: Quality, searched: _Searched | None, subject: Subject, may_show: Collection[str]) -> dict[str, Any]:
    names = ("samples", "floor", "held_out", "samples_to_held_out", "held_out_set")
    told = {name: found.to_json() for name in names if (found := getattr(quality, name)) is not None}
    data = {"schema": SCHEMA, **quality.about, **told}
    if searched is None:
        return data
    distance = searched.samples.distance
    common = {"searched": len(distance), "median": float(np.median(distance))}
    for key, report, real in (("copies", quality.copies, searched.others), ("copies_by_set", quality.copies_by_set, searched.held_out)):
        if report is not None and real is not None:
            told_of = {"held_out": len(real.distance), "held_out_median": float(np.median(real.distance))}
            data[key] = asdict(report) | common | told_of
    if quality.copies is not None and searched.held_out is not None:
        data["copies_by_set"]["held_out_below_others"] = float((searched.held_out.distance < quality.copies.threshold).mean())
    data["closest"] = [_neighbour(searched.samples, i, subject) for i in _closest(searched.samples, subject)]
    if may_show:
        shown = _closest(searched.samples, subject, may_show)
        data["shown"] = {"slides": sorted(may_show), "closest": [_neighbour(searched.samples, i, subject) for i in shown]}
    return data


def _closest(found: Nearest, subject: Subject, may_show: Collection[str] = ()) -> list[int]:
    """The samples nearest to a training crop; where slides are named, of those whose nearest crop is of one of them."""
    order = [int(i) for i in np.argsort(found.distance, kind="stable")]
    return [i for i in order if not may_show or subject.tiles.rows[found.tile[i]].slide in may_show][:_SHOWN]


def _neighbour(found: Nearest, sample: int, subject: Subject) -> dict[str, Any]:
    x_px, y_px = (int(v) for v in found.xy_px[sample])
    tile = subject.tiles.rows[found.tile[sample]].name
    return {"sample": sample, "distance": float(found.distance[sample]), "tile": tile, "x_px": x_px, "y_px": y_px}


def _write_closest(found: Nearest, draw: Images, subject: Subject, may_show: Collection[str], path: Path) -> None:
    """The samples that are nearest to a training crop that may be shown, each followed by that crop as it lies in its tile; no sheet if there is none."""
    size_px, pictures = subject.generator.resolution, []
    for i in _closest(found, subject, may_show):
        x, y = found.xy_px[i]
        pictures += [draw(i, 1)[0], subject.tiles.read(int(found.tile[i]))[y : y + size_px, x : x + size_px]]
    if pictures:
        write_png(path, contact_sheet(pictures, columns=4))
    else:
        path.unlink(missing_ok=True)  # an earlier one may show what may not be shown
