"""The settings of a whole run: one section for each stage, each defined by the stage itself.

Two sections belong to no stage: `[real]`, real (or painted) pairs that somebody labelled, and `[oracle]`, a segmenter
trained on some of them that stands in for the expert on the generated images. Without `[oracle]` the masks are a
person's and come from `annotations.masks`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hdgan.annotations.config import AnnotationsConfig
from hdgan.classifier.config import ClassifierConfig
from hdgan.dataset.config import DatasetConfig
from hdgan.downstream.config import DownstreamConfig, OracleConfig, RealConfig, SegmenterConfig
from hdgan.evaluation.config import EvaluationConfig
from hdgan.features.config import FeaturesConfig
from hdgan.generator.config import GeneratorConfig
from hdgan.samples.config import SamplesConfig
from hdgan.tiles.config import TilesConfig

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class RunSection(BaseModel):
    """What the run is called, where it lies, and the one seed of all its random draws."""

    model_config = _FROZEN

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Name of the run and of its folder: letters, digits, dots, hyphens and underscores."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of every random draw of every stage."""
    out: Path = Path("runs")
    """Folder that the run's folder is made in; relative to where the command is given."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where samples and labelled pairs are drawn and segmenters trained; the generator's training has a setting of its own. A GPU rounds
    otherwise: the same settings then give the same bytes on the same kind of GPU only."""
    expected_slides: int | None = Field(default=None, ge=1)
    """Slides there will be; only for `--plan` on a machine without them."""
    expected_tiles: int | None = Field(default=None, ge=1)
    """Tiles there will be; only for `--plan` on a machine without the slides."""


class RealSection(BaseModel):
    """Labelled pairs that no generator made: to train an oracle on, and to test the downstream segmenter on."""

    model_config = _FROZEN

    pairs: Path | None = None
    """Folder of named sets of pairs, as `hdgan paint` writes it; or leave it and give `slide`."""
    slide: Path | None = None
    """A slide whose regions somebody outlined; the pairs are cut from it."""
    regions: dict[str, Path] = Field(default_factory=dict)
    """Class name to its regions in the slide: QuPath GeoJSON, or a mask image in level-0 pixels, not 0 inside."""
    slide_mpp: float | None = Field(default=None, gt=0, le=100)
    """Scale of the slide where it states none, um/px of its finest level."""
    cut: RealConfig | None = None
    """How the pairs are cut, and from which rows each set."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.pairs is None) == (self.slide is None):
            raise ValueError("give either pairs or slide")
        if self.slide is not None and (not self.regions or self.cut is None):
            raise ValueError("a slide needs regions and a section [real.cut]")
        return self


class RunConfig(BaseModel):
    """Everything that a run is made from."""

    model_config = _FROZEN

    run: RunSection
    """Name, seed and place."""
    tiles: TilesConfig
    """Slides and how they are cut."""
    generator: GeneratorConfig = GeneratorConfig()
    """The generator and its training."""
    samples: SamplesConfig = SamplesConfig()
    """Images drawn for annotation."""
    annotations: AnnotationsConfig = AnnotationsConfig()
    """Masks, their classes, and the split."""
    oracle: OracleConfig | None = None
    """A segmenter that stands in for the expert; left out, a person draws the masks."""
    real: RealSection | None = None
    """Labelled pairs that no generator made."""
    features: FeaturesConfig = FeaturesConfig()
    """Which maps of the generator are used."""
    classifier: ClassifierConfig = ClassifierConfig()
    """The pixel classifiers."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured."""
    control: SegmenterConfig = SegmenterConfig()
    """The U-Net control of the evaluation, trained on the same annotated images as the pixel classifiers."""
    dataset: DatasetConfig = DatasetConfig()
    """The labelled pairs."""
    downstream: DownstreamConfig | None = None
    """The segmenter trained on the pairs; left out, the run ends with the dataset."""

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        # What no generator could be trained by is told before tiles are cut for it.
        self.generator.network_spec()
        self.generator.train_settings(seed=self.run.seed)
        if self.tiles.tile_px < self.generator.resolution:
            raise ValueError(f"tiles.tile_px: {self.tiles.tile_px} is smaller than generator.resolution, {self.generator.resolution}")
        if self.oracle is not None and self.annotations.masks is not None:
            raise ValueError("annotations.masks and [oracle] are both given; keep the one whose masks are to be used")
        for name in ("oracle", "downstream"):
            if getattr(self, name) is not None and self.real is None:
                raise ValueError(f"[{name}] needs labelled pairs; add a section [real]")
        self._real_fits()
        wanted = sum(self.annotations.sizes.values())
        if self.oracle is not None and self.samples.shortlist < wanted:
            raise ValueError(f"samples.shortlist: {self.samples.shortlist} images are fewer than the split needs, {wanted}")
        if self.oracle is not None and self.samples.random < self.annotations.random_test:
            raise ValueError(
                f"samples.random: {self.samples.random} images are fewer than annotations.random_test, {self.annotations.random_test}"
            )
        return self

    def _real_fits(self) -> None:
        """The oracle must see real tissue at the scale and size of the generated images."""
        if self.real is None or self.real.cut is None or self.tiles.asked_mpp is None:
            return
        if not math.isclose(self.real.cut.mpp, self.tiles.mpp, rel_tol=0.02):
            raise ValueError(f"real.cut.mpp: {self.real.cut.mpp:g} is not the scale of the tiles, {self.tiles.mpp:g}")

    @property
    def drawn_annotations(self) -> AnnotationsConfig:
        """`[annotations]`, with the oracle's name as annotator where it draws the masks."""
        if self.oracle is None:
            return self.annotations
        return self.annotations.model_copy(update={"annotator": self.oracle.name})

    def recorded(self, stage: str) -> dict[str, Any]:
        """The section of `stage` as plain data, as manifests keep it."""
        section: BaseModel | None = self.drawn_annotations if stage == "annotations" else getattr(self, stage)
        if isinstance(section, TilesConfig | AnnotationsConfig | GeneratorConfig | SamplesConfig | FeaturesConfig | DatasetConfig):
            return section.recorded()
        return {} if section is None else section.model_dump(mode="json", by_alias=True)
