"""What a run would read, write and need, before anything is done: `hdgan run --plan`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hdgan.classifier.config import widths_text
from hdgan.errors import HdganError
from hdgan.pipeline import estimates
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.estimates import Need
from hdgan.pipeline.feature_plan import plan_features
from hdgan.pipeline.machine import cores, memory_bytes
from hdgan.pipeline.run import survey
from hdgan.pipeline.standing import Standing
from hdgan.pipeline.steps import STEPS, Run
from hdgan.store.archive import INDEX
from hdgan.store.layout import RunFolder
from hdgan.tiles.hiring import open_crew
from hdgan.tiles.plan import estimate

_LIBRARIES_BYTES = 0.4 * estimates.GIB
"""What Python and torch take before any work."""
_NUM_FILTERS = 31
"""Maps of the evaluation's filter bank."""
_NUM_CLASSES = 8
"""More than there will be: only the last layer depends on it."""
_SECONDS_PER_ANNOTATED_IMAGE = 0.2
_SEGMENTER_BYTES = estimates.GIB
_SEGMENTER_FLOPS_PER_PX = 1.2e6
"""Forward and backward of the default U-Net."""


@dataclass(frozen=True)
class Row:
    """One stage of the plan."""

    stage: str
    standing: Standing
    reads: str
    writes: str
    need: Need
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All wanted stages; the sums leave out what is current."""

    root: Path
    rows: tuple[Row, ...]
    cores: int

    @property
    def disk(self) -> float:
        """Bytes still to be written."""
        return sum(row.need.disk or 0.0 for row in self._open())

    @property
    def cpu_seconds(self) -> float:
        """Seconds still to go on this machine's processor."""
        return sum(row.need.cpu_seconds or 0.0 for row in self._open())

    @property
    def gpu_seconds(self) -> float:
        """The same where a GPU does what it can."""
        return sum(row.need.cpu_seconds or 0.0 if row.need.gpu_seconds is None else row.need.gpu_seconds for row in self._open())

    def _open(self) -> list[Row]:
        return [row for row in self.rows if row.standing.state != "current"]


def make_plan(config: RunConfig, *, root: Path, base: Path) -> Plan:
    """The plan of the run in folder `root`; slides are looked for from `base` (the folder of the settings), and may be absent."""
    found = {standing.stage: standing for standing in survey(Run(config, RunFolder(root), base))}
    known = _known(config, root=root, base=base)
    rows = []
    for step in STEPS:
        if step.stage in found:
            reads = ", ".join(step.reads) or "slides"
            need, writes, notes = _NEEDS[step.stage](config, known)
            need = replace(need, memory=(need.memory or 0.0) + _LIBRARIES_BYTES)
            rows.append(Row(step.stage, found[step.stage], reads, writes, need, (*notes, *_memory_note(need))))
    return Plan(root, tuple(rows), cores())


@dataclass(frozen=True)
class _Known:
    """What is known of the slides without cutting them, and where the run lies."""

    root: Path
    num_slides: int | None
    num_tiles: int | None
    seconds: float | None
    notes: tuple[str, ...]


def _known(config: RunConfig, *, root: Path, base: Path) -> _Known:
    try:
        with open_crew(config.tiles.model_copy(update={"scheduler": None})) as crew:  # a look needs no cluster
            found = estimate(config.tiles, base=base, crew=crew)
    except HdganError as error:
        note = f"the slides are not at hand ({error})"
        num, tiles = config.run.expected_slides, config.run.expected_tiles
        reading = None if tiles is None else tiles * config.tiles.tile_px**2 * 2e-7 / cores()
        return _Known(root, num, tiles, reading, (note, *(["counts are run.expected_slides and run.expected_tiles"] if tiles else [])))
    return _Known(root, found.num_slides, found.num_cells, found.seconds, found.problems[:3])


Found = tuple[Need, str, tuple[str, ...]]


def _tiles(config: RunConfig, slides: _Known) -> Found:
    edge = round(config.tiles.tile_px * config.tiles.margin)
    is_png = config.tiles.images is not None and config.tiles.format == "auto"
    each = edge**2 * estimates.TILE_BYTES_PER_PX["png" if is_png else config.tiles.format]
    disk = None if slides.num_tiles is None else 2 * slides.num_tiles * each
    writes = f"{slides.num_tiles if slides.num_tiles is not None else 'unknown'} tiles of {edge} px at {config.tiles.scale_text} at most"
    return Need(12.0 * edge**2, disk, slides.seconds), writes, slides.notes


def _generator(config: RunConfig, known: _Known) -> Found:
    num_labels, is_known = config.generator.num_labels(RunFolder(known.root).folder("tiles") / INDEX)
    spec, settings = config.generator.network_spec(label_dim=num_labels), config.generator.train_settings(seed=config.run.seed)
    flops = estimates.training_flops(spec, settings) * settings.kimg * 1000
    cpu = estimates.seconds_on(flops, cores=cores(), low_precision=spec.low_precision == "bfloat16")
    memory = estimates.peak_bytes(spec, settings) + estimates.held_bytes(spec, settings)
    weights = estimates.training_bytes(spec, 0)
    grid = (6 * min(spec.resolution, 256)) ** 2 * estimates.PNG_BYTES_PER_PX
    disk = 4 * weights + max(1, settings.kimg / config.generator.snapshot_kimg) * grid
    writes = f"a {spec.resolution} px generator after {settings.kimg:g} thousand images, 4 states, grids of samples"
    notes = [] if spec.resolution <= 128 else ["above 128 px a GPU is needed to finish in reasonable time"]
    if not is_known:
        notes.append(f"counted with {num_labels} labels: how many there are, tiles will tell")
    if config.generator.preset == "auto" and spec.resolution > 1024:
        notes.append(
            f"preset auto gives {settings.batch} images per step and an R1 weight of {settings.gamma:.0f} here; large is meant for it"
        )
    return Need(memory, disk, cpu, flops / estimates.GPU_FLOPS), writes, tuple(notes)


def _samples(config: RunConfig, _slides: _Known) -> Found:
    spec, num = config.generator.network_spec(), config.samples.num
    flops = estimates.drawing_flops(spec) * num
    encoding = num * spec.resolution**2 * 3e-7
    need = Need(
        estimates.drawing_bytes(spec, num_blocks=1),
        num * spec.resolution**2 * estimates.PNG_BYTES_PER_PX,
        estimates.seconds_on(flops, cores=cores()) + encoding,
        flops / estimates.GPU_FLOPS + encoding,
    )
    return (
        need,
        f"{num} images of {spec.resolution} px at psi {config.samples.psi:g}, latents, a shortlist of {config.samples.shortlist}",
        (),
    )


def _annotations(config: RunConfig, _slides: _Known) -> Found:
    num, size, at_random = config.annotations.num_images, config.generator.resolution, config.annotations.random_test
    writes = f"{num} masks of {size} px, split {'/'.join(str(n) for n in config.annotations.sizes.values())}"
    writes += f", {at_random} drawn at random" if at_random else ""
    disk = num * size**2 * estimates.MASK_BYTES_PER_PX
    if config.oracle is None:
        return Need(4.0 * size**2, disk, num * _SECONDS_PER_ANNOTATED_IMAGE), writes, ("a person draws the masks first",)
    seconds = _segmenter_seconds(config, config.oracle.segmenter.steps * config.oracle.segmenter.batch)
    return Need(_SEGMENTER_BYTES, disk, seconds, seconds / 20), writes, (f"drawn by {config.oracle.name}, not by an expert",)


def _features(config: RunConfig, known: _Known) -> Found:
    spec, num = config.generator.network_spec(), config.annotations.num_images
    planned = plan_features(config, root=known.root)
    work, need = planned.work, planned.choice.need
    flops = 2 * estimates.drawing_flops(spec) * num
    seconds = estimates.seconds_on(flops, cores=cores()) + need.disk / 3e8
    native, upsampled = (other.disk for other in planned.choice.needs if other.source != "recompute")
    notes = (
        f"source {planned.choice.source}: {planned.choice.reason}",
        f"upsampled and concatenated they would be {upsampled / native:.0f} times as much as at native resolution",
    )
    writes = f"{work.num_channels} channels of {num} images, source {planned.choice.source}"
    return Need(need.extracting, need.disk, seconds, flops / estimates.GPU_FLOPS + need.disk / 3e8), writes, notes


def _classifier(config: RunConfig, known: _Known) -> Found:
    spec, c = config.generator.network_spec(), config.classifier
    planned = plan_features(config, root=known.root)
    work, need = planned.work, planned.choice.need
    # A pixel is seen forwards and backwards in training, forwards only in validation.
    products = sum(a * b for a, b in itertools.pairwise((work.num_learnt, *c.hidden, _NUM_CLASSES)))
    flops = float((6 * work.table_pixels + 2 * work.validation_pixels) * c.epochs * c.members * products)
    seconds = estimates.seconds_on(2 * flops, cores=1)  # fitting takes one, so that any number gives the same bits
    if planned.choice.source == "recompute":
        passes = -(-c.members // need.members_at_once) + (c.components is not None)
        drawn = estimates.drawing_flops(spec) * (passes * config.annotations.train + config.annotations.sizes["validate"])
        seconds += estimates.seconds_on(2 * drawn, cores=cores())
    writes = f"{c.members} classifiers {widths_text(work.num_channels, c.hidden)}"
    disk = 4.0 * c.members * work.num_channels * (c.hidden or (_NUM_CLASSES,))[0]
    return Need(need.fitting, disk, seconds), writes, ()


def _evaluation(config: RunConfig, slides: _Known) -> Found:
    fitting = _classifier(config, slides)[0]
    folds = config.evaluation.folds if config.evaluation.folds > 1 else 0
    seconds = (fitting.cpu_seconds or 0.0) * (2 + folds) + _segmenter_seconds(config, config.control.steps * config.control.batch)
    # The control on colour and filters holds the filter maps of its training images up to 2 GiB, and of one image in any case.
    of_one = 4 * _NUM_FILTERS * config.generator.resolution**2
    filters = min(of_one * config.annotations.train, max(of_one, 2**31)) if "filters" in config.evaluation.controls else 0
    return (
        Need((fitting.memory or 0.0) + filters, 5e6, seconds),
        "report.json, report.html, panels; three controls fitted on the same images",
        (),
    )


def _dataset(config: RunConfig, _slides: _Known) -> Found:
    spec, c = config.generator.network_spec(), config.dataset
    drawn = c.num / (1 - c.drop_share)
    hidden, heads = config.classifier.hidden or (_NUM_CLASSES,), config.classifier.members
    flops = drawn * (
        estimates.drawing_flops(spec) + estimates.labelling_flops(spec, num_blocks=config.features.num_blocks, hidden=hidden, heads=heads)
    )
    encoding = drawn * spec.resolution**2 * 3.5e-7
    disk = drawn * spec.resolution**2 * (estimates.PNG_BYTES_PER_PX + estimates.MASK_BYTES_PER_PX)
    memory = estimates.labelling_bytes(spec, num_blocks=config.features.num_blocks)
    need = Need(memory, disk, estimates.seconds_on(flops, cores=cores()) + encoding, flops / estimates.GPU_FLOPS + encoding)
    return need, f"{c.num} labelled pairs of {spec.resolution} px, the {c.drop_share:.0%} most uncertain dropped", ()


def _downstream(config: RunConfig, _slides: _Known) -> Found:
    assert config.downstream is not None
    segmenter = config.downstream.segmenter
    seconds = 3 * _segmenter_seconds(config, segmenter.steps * segmenter.batch)
    return Need(_SEGMENTER_BYTES, 3e7, seconds, seconds / 20), "three segmenters and their comparison on real tiles", ()


def _segmenter_seconds(config: RunConfig, images: int) -> float:
    size = min(config.generator.resolution, 256)
    return estimates.seconds_on(images * size**2 * _SEGMENTER_FLOPS_PER_PX, cores=cores())


def _memory_note(need: Need) -> tuple[str, ...]:
    here = memory_bytes()
    if here is None or need.memory is None or need.memory <= here:
        return ()
    return (f"more memory than this machine has ({here / estimates.GIB:.0f} GiB)",)


_NEEDS: dict[str, Callable[[RunConfig, _Known], Found]] = {
    "tiles": _tiles,
    "generator": _generator,
    "samples": _samples,
    "annotations": _annotations,
    "features": _features,
    "classifier": _classifier,
    "evaluation": _evaluation,
    "dataset": _dataset,
    "downstream": _downstream,
}
