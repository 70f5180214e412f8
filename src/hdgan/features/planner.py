"""Which source of features fits into the memory and onto the disk that there is: plain numbers, no torch.

Peaks are those of a whole process above one that has imported torch and does nothing, while it extracts features and fits pixel classifiers
on them, on a CPU. The constants were read off such processes step by step at 256 px; `benchmarks/labels/memory.py` compares what follows from
them with what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hdgan.errors import BadConfig
from hdgan.features.config import Source
from hdgan.generator.footprint import drawing_bytes, map_bytes
from hdgan.generator.spec import TapSpec

GIB = 2**30
_BASE_BYTES = 48e6
"""Libraries beside torch."""
_LOADED_COPIES = 2.3
"""Of the weights while they are read and checked."""
_MOMENT_BYTES = 20e6
"""Pieces of a map in float64, a few at a time."""
_IMAGE_BYTES_PER_PX = 3 * (4 * 3 + 4)
"""The drawn image as float32, three times while it becomes pixels, and both pictures while they are compared."""
_DRAWN_BASE_BYTES = 68e6
"""The same after the first image was drawn."""
_OPTIMISER_BYTES = 100e6
"""Libraries that torch imports for its first optimiser."""
_STEP_BYTES = 40e6
"""Of a step of an optimiser, and of predicting pixels of the validation."""
_GATHERING_BYTES = 45e6
"""Some pixels on their way from the maps."""
_COVARIANCE_BYTES = 5 * 8
"""For each pair of channels, while principal components are found: the covariance in float64, its eigenvectors and their workspace."""
_MASK_BYTES_PER_PX = 45
"""Of an image while its pixels are drawn: places, keys and weights of all that are labelled."""


@dataclass(frozen=True)
class Work:
    """What is to be done, as far as memory goes."""

    taps: tuple[TapSpec, ...]
    """All maps, the image among them where it is one."""
    resolution: int
    """Edge of the images, px."""
    num_images: int
    """Annotated images."""
    bytes_each: int
    """Of a stored number."""
    weights: float
    """Bytes of the generator."""
    table_pixels: int = 0
    """Pixels that one classifier learns from."""
    validation_pixels: int = 0
    """Pixels of all validation images together."""
    num_validation: int = 0
    """Validation images."""
    members: int = 1
    """Classifiers."""
    components: int | None = None
    """Principal components that are learnt from, where it is not all channels."""
    is_calibrated: bool = True
    """Whether the classifiers read the validation pixels once more, all channels, for their temperature."""

    @property
    def num_learnt(self) -> int:
        """Numbers of a pixel that are learnt from."""
        return min(self.num_channels, self.components or self.num_channels)

    @property
    def num_channels(self) -> int:
        """Length of a pixel's feature vector."""
        return sum(tap.channels for tap in self.taps)


@dataclass(frozen=True)
class Need:
    """What one source needs: peaks of memory and what it stores, bytes."""

    source: Source
    extracting: float
    fitting: float
    disk: float
    members_at_once: int = 1
    """Classifiers whose pixels are gathered in one pass over the images, where a pass means drawing them."""

    @property
    def memory(self) -> float:
        """The peak of a process that does both."""
        return max(self.extracting, self.fitting)


@dataclass(frozen=True)
class Budget:
    """Bytes that may be taken; `is_given`: a person said so, else it is what the machine has."""

    memory: float
    disk: float
    is_memory_given: bool = False
    is_disk_given: bool = False


@dataclass(frozen=True)
class Choice:
    """A source, why, and what each would need."""

    source: Source
    reason: str
    needs: tuple[Need, ...]

    @property
    def need(self) -> Need:
        """That of the chosen one."""
        return next(need for need in self.needs if need.source == self.source)


def needs(work: Work, *, memory_budget: float | None = None) -> tuple[Need, ...]:
    """What each source needs; where images are drawn again, as many classifiers share a pass as `memory_budget` leaves room for."""
    native = map_bytes(work.taps, bytes_each=work.bytes_each)
    upsampled = work.num_channels * work.resolution**2 * work.bytes_each
    drawing = work.weights + max(_drawing_peak(work), native + _MOMENT_BYTES)  # that pixels are gathered takes less than moments
    extracting = _BASE_BYTES + max(_LOADED_COPIES * work.weights, drawing)
    # Of what lies on the disk one map is in memory at a time.
    opened = [max(tap.channels * (edge or tap.resolution) ** 2 * work.bytes_each for tap in work.taps) for edge in (None, work.resolution)]
    tables = _tables(work)
    # The optimiser's libraries come with the first classifier, after its pixels were gathered.
    before = _OPTIMISER_BYTES if work.members > 1 else 0.0
    held = _DRAWN_BASE_BYTES + max(tables.drawn + tables.validation, tables.calibration)
    masks = _MASK_BYTES_PER_PX * work.resolution**2
    stored = [
        max(
            held + max(before + max(part + _GATHERING_BYTES, masks), _OPTIMISER_BYTES + _STEP_BYTES),
            _DRAWN_BASE_BYTES + part + _components(work),
        )
        for part in opened
    ]
    again, at_once = _drawn_again(work, drawing, memory_budget)
    return (
        Need("native", extracting, stored[0], float(native * work.num_images)),
        Need("recompute", extracting, again, 0.0, at_once),
        Need("upsampled", extracting, stored[1], float(upsampled * work.num_images)),
    )


def _drawn_again(work: Work, drawing: float, memory_budget: float | None) -> tuple[float, int]:
    """The peak of fitting where images are drawn again, and how many classifiers share a pass: as many as the budget has room for."""
    table, validation, calibration = _tables(work)
    masks = _MASK_BYTES_PER_PX * work.resolution**2
    step = (
        work.weights + 2 * validation + _OPTIMISER_BYTES + _STEP_BYTES
    )  # the pixels of the validation are kept, and copied for each classifier
    apart = drawing + _components(work)  # before any pixel is drawn
    if calibration:  # all channels of the validation pixels beside their components, and a copy of them
        apart = max(apart, validation + calibration + max(drawing, work.weights + calibration) + _OPTIMISER_BYTES)
    found = []
    for num in range(1, work.members + 1):
        if num < work.members:  # a pass follows the first classifier
            passes = max(drawing, masks) + validation + _OPTIMISER_BYTES
        else:
            passes = max(drawing, masks) + validation * (1 - 1 / max(work.num_validation, 1))
        found.append(_DRAWN_BASE_BYTES + max(num * table + max(passes, step), apart))
    fitting = [num for num, peak in enumerate(found, start=1) if memory_budget is not None and peak <= memory_budget]
    at_once = max(fitting, default=1)
    return found[at_once - 1], at_once


class _Tables(NamedTuple):
    """Bytes of tables of pixels."""

    drawn: float
    """One classifier's pixels."""
    validation: float
    """Those that its epochs are compared on."""
    calibration: float
    """The same with all channels, where those are read for the temperature alone; else 0."""


def _tables(work: Work) -> _Tables:
    each, whole = (4.0 * num + 8 for num in (work.num_learnt, work.num_channels))
    is_apart = work.is_calibrated and work.num_learnt < work.num_channels
    return _Tables(work.table_pixels * each, work.validation_pixels * each, work.validation_pixels * whole if is_apart else 0.0)


def _components(work: Work) -> float:
    """Bytes that finding principal components takes beside an image; 0 where all channels are learnt from."""
    return 0.0 if work.components is None else float(_COVARIANCE_BYTES * work.num_channels**2)


def choose(work: Work, *, wish: Source | None, budget: Budget) -> Choice:
    """The source for `work`: the `wish` if there is one, else the maps on the disk if they fit, else those drawn again.

    What the machine has refuses nothing; what a person allowed does.

    Raises:
        BadConfig: nothing fits into what a person allowed; names the least that is needed.
    """
    found = needs(work, memory_budget=budget.memory)
    if wish is not None:
        choice = Choice(wish, "features.source asks for it", found)
        _refuse(choice.need, budget)
        return choice
    native, recompute, _ = found
    if native.disk <= budget.disk and native.memory <= budget.memory:
        return Choice("native", "it fits into both budgets, and each image is drawn once", found)
    if native.disk > budget.disk:
        choice = Choice("recompute", f"native maps need {native.disk / GIB:.2g} GiB of disk, more than the budget", found)
    elif recompute.memory <= native.memory:
        choice = Choice("recompute", "it needs less memory than native maps", found)
    else:
        choice = Choice("native", "it needs the least memory", found)
    _refuse(choice.need, budget, otherwise=native)
    return choice


def _refuse(need: Need, budget: Budget, *, otherwise: Need | None = None) -> None:
    """Ends where `need` is more than a person allowed; `otherwise` is told as another way."""
    if budget.is_memory_given and need.memory > budget.memory:
        remedy = f"{need.source} needs {need.memory / GIB:.3g} GiB: allow that, tap fewer blocks, or draw fewer pixels"
        if otherwise is not None and otherwise.memory < need.memory:
            remedy += f"; native maps need {otherwise.memory / GIB:.3g} GiB, and {otherwise.disk / GIB:.3g} GiB of disk"
        raise BadConfig("features.memory_budget_gib", f"{budget.memory / GIB:.3g} GiB of memory", remedy)
    if budget.is_disk_given and need.disk > budget.disk:
        remedy = f"{need.source} needs {need.disk / GIB:.3g} GiB: allow that, or use recompute"
        raise BadConfig("features.disk_budget_gib", f"{budget.disk / GIB:.3g} GiB of disk", remedy)


def _drawing_peak(work: Work) -> float:
    """Beyond the weights, from the first layer to pixels that have been compared."""
    drawn = drawing_bytes([tap for tap in work.taps if tap.name != "image"])
    return max(drawn, map_bytes(work.taps) + _IMAGE_BYTES_PER_PX * work.resolution**2)
