"""Where the features of a run should come from, and what extracting and fitting will take: `hdgan fit RUN --plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hdgan.classifier.config import VALIDATION_PIXELS
from hdgan.features.planner import GIB, Budget, Choice, Work, choose, needs
from hdgan.generator.footprint import weight_bytes
from hdgan.generator.spec import NetworkSpec, TapSpec
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.machine import free_disk_bytes, memory_bytes
from hdgan.store.atomic import read_json
from hdgan.store.layout import RunFolder
from hdgan.store.stage import MANIFEST

_SHARE = 0.75
"""Of the machine's memory and of the free disk that is taken without being asked."""


@dataclass(frozen=True)
class FeaturePlan:
    """What is to be done, what may be taken, and what was chosen."""

    work: Work
    budget: Budget
    choice: Choice
    mpp: float | None
    extracted: str | None
    """The source of features that are there already."""


def plan_features(config: RunConfig, *, root: Path) -> FeaturePlan:
    """The plan for the run in folder `root`: by its generator and masks where they are there, else by what the settings say.

    Raises:
        BadConfig: nothing fits into the budgets of the settings.
    """
    folder = RunFolder(root)
    spec, mpp = _shape(config, folder)
    work = work_of(config, spec, num_images=_num_annotated(config, folder))
    budget = budget_of(config, root)
    wish = None if config.features.source == "auto" else config.features.source
    return FeaturePlan(work, budget, choose(work, wish=wish, budget=budget), mpp, _extracted(folder))


def work_of(config: RunConfig, spec: NetworkSpec, *, num_images: int) -> Work:
    """The work of extracting features of `num_images` images of a generator and fitting the classifiers of the settings on them."""
    taps = spec.taps(config.features.num_blocks)
    taps = (*taps, TapSpec("image", 3, spec.resolution)) if config.features.image else taps
    each = [min(num, spec.resolution**2) for num in (config.classifier.pixels_per_image, VALIDATION_PIXELS)]
    return Work(
        taps=taps,
        resolution=spec.resolution,
        num_images=num_images,
        bytes_each=2 if config.features.dtype == "float16" else 4,
        weights=weight_bytes(spec),
        table_pixels=config.annotations.sizes["train"] * each[0],
        validation_pixels=config.annotations.sizes["validate"] * each[1],
        num_validation=config.annotations.sizes["validate"],
        members=config.classifier.members,
        components=config.classifier.components,
        is_calibrated=config.classifier.calibrate,
    )


def budget_of(config: RunConfig, root: Path) -> Budget:
    """What may be taken: as the settings say, else three quarters of the memory and of the disk that is free under `root`."""
    memory, disk = config.features.memory_budget_gib, config.features.disk_budget_gib
    here = memory_bytes()
    return Budget(
        memory=_SHARE * (float("inf") if here is None else here) if memory is None else memory * GIB,
        disk=_SHARE * free_disk_bytes(root) if disk is None else disk * GIB,
        is_memory_given=memory is not None,
        is_disk_given=disk is not None,
    )


def members_at_once(config: RunConfig, *, root: Path) -> int:
    """Classifiers whose pixels are gathered in one pass, where features are recomputed, as many as the budget leaves room for."""
    folder = RunFolder(root)
    work = work_of(config, _shape(config, folder)[0], num_images=0)
    found = needs(work, memory_budget=budget_of(config, root).memory)
    return next(need.members_at_once for need in found if need.source == "recompute")


def _shape(config: RunConfig, folder: RunFolder) -> tuple[NetworkSpec, float | None]:
    """Shape and scale of the run's generator."""
    from hdgan.generator.weights import FILE, read_shape  # torch is heavy, and a run without a generator is planned without it

    path = folder.folder("generator") / FILE
    return read_shape(path) if path.exists() else (config.generator.network_spec(), config.tiles.asked_mpp)


def _num_annotated(config: RunConfig, folder: RunFolder) -> int:
    from hdgan.annotations.reader import ANNOTATIONS, AnnotationSet

    annotations = folder.folder("annotations")
    return len(AnnotationSet(annotations)) if (annotations / ANNOTATIONS).exists() else config.annotations.num_images


def _extracted(folder: RunFolder) -> str | None:
    features = folder.folder("features")
    return str(read_json(features / "features.json")["source"]) if (features / MANIFEST).exists() else None
