"""Settings of the tiles stage."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hdgan.store.codec import Store
from hdgan.tiles.images_config import ImagesConfig
from hdgan.tiles.placement_config import PlacementConfig
from hdgan.tiles.scores import DETAIL_MPP, Limits, has_detail

_LATER = (
    "images",
    "min_density",
    "max_pen",
    "max_black",
    "max_blur",
    "min_compartment",
    "folds",
    "min_stains_per_case",
    "max_disagreement",
    "strict",
    "magnification",
    "level",
    "placement",
    "region_classes_shown",
)
"""Fields that earlier versions had not: recorded where they were set, so that runs of those versions stay current."""
_WHO = {"workers", "scheduler", "max_silence_s", "recut_changed_code", "retry_left_out"}
"""Fields that say who cuts, how patiently and how often, not what."""


class TilesConfig(BaseModel):
    """Which slides are cut, at what size and scale, what counts as background, and how patients are spread over folds."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    slides: tuple[str, ...] = Field(min_length=1)
    """Slide files, folders, patterns such as "scans/*.svs", and slide tables (CSV with path, patient, centre, stain, diagnosis,
    mpp); relative ones start at the folder of the settings."""

    asked_mpp: float | None = Field(default=None, alias="mpp", gt=0, le=100, allow_inf_nan=False)
    """Scale of the tiles, um/px. A slide within 2 % of it is cut as it is; a coarser one is refused: there is no upsampling. Exactly one of `mpp`,
    `magnification` and `level` is given."""

    magnification: float | None = Field(default=None, gt=0, le=200, allow_inf_nan=False)
    """In the place of `mpp`: 20 for x20, by the objective that each slide states; a slide that states none is refused. Slides whose scales at it differ by
    more than 2 % are refused, since tiles have one scale."""

    level: int | None = Field(default=None, ge=0, le=30)
    """In the place of `mpp`: level of each slide's pyramid, 0 the finest; refused where the scales differ by more than 2 %."""

    tile_px: int = Field(ge=8, le=16384)
    """Edge of what the generator sees, tile px (4096 in the paper)."""

    margin: float = Field(default=1.0, ge=1, le=4, allow_inf_nan=False)
    """Edge of a stored tile over `tile_px`. 1.415 (the root of 2, rounded up) lets a crop be turned by any angle; 2 lets it move as well."""

    stride_px: int | None = Field(default=None, ge=1)
    """Step of the grid, tile px; without it tiles touch and do not overlap."""

    max_background: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)
    """A tile with a larger share of background is dropped. The paper drops "mostly white" tiles and gives no number."""

    white_distance: float = Field(default=8.0, gt=0, le=100, allow_inf_nan=False)
    """Colours nearer than this to the slide's own white are background, CIE 1976 distance in Lab (0 equal, 100 white to black)."""

    min_density: float | None = Field(default=None, gt=0, le=3, allow_inf_nan=False)
    """Where set, background is what absorbs less than this, whatever `white_distance`: length of the optical density against the slide's own white.
    0.04 finds pale and silver-stained tissue that a distance in Lab of 8 takes for glass."""

    max_pen: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """A tile with a larger share of green or blue marker ink is dropped; not safe for a trichrome. None: ink drops no tile."""

    max_black: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """A tile with a larger share of black (ink, frames, areas a scanner left blank) is dropped."""

    max_blur: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """A tile that is more blurred is dropped: 0 is sharp, 1 shows nothing finer than 4 um. For tiles of at most 2 um/px."""

    min_compartment: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """A tile whose compartment score is lower is dropped: the densest 128 um of it, 0 to 1 full of dark structure. For tiles of at most 2 um/px."""

    max_disagreement: float = Field(default=48.0, gt=0, le=255, allow_inf_nan=False)
    """A tile that differs from the slide's overview by more than this is suspect and dropped: grey levels, the mean of a block of 8 overview px, the
    worst of three channels. 255 turns this off, for scanners whose coarser levels show something else; a blank tile on tissue stays suspect."""

    strict: bool = False
    """Every tile is read by both readers, where there are two, and its JPEG data are asked for what the decoder complains of; reading takes several
    times as long. docs/formats/tiles.md says what this cannot see."""

    num_folds: int = Field(default=5, ge=1, le=100)
    """Folds (5 in the paper); with `folds = "centre"` there are as many as centres."""

    folds: Literal["patient", "centre", "tile"] = "patient"
    """What is kept together: all tiles of a `patient`; all of a `centre`, each its own fold; or nothing (`tile`, as a reader of the paper may
    understand its folds: it does not say that they are by patient), and then the same tissue is trained and tested on."""

    min_stains_per_case: int | None = Field(default=None, ge=1)
    """Cases (patients) with tiles of fewer stains are left out; `cases.csv` says why. None: all stay."""

    pseudonym_key: Path | None = None
    """Key file that turns patients and slides into pseudonyms; made at first use, and refused inside the run's folder. None: names stay."""

    slide_mpp: float | None = Field(default=None, gt=0, le=100, allow_inf_nan=False)
    """Scale of slides that state none, um/px of their finest level."""

    format: Store = "auto"
    """How tiles are stored. `auto` loses nothing and moves nothing: a slide's own JPEG tiles, copied, where all of its tiles lie on their grid, else `jxl`;
    of images that are cut already `png`. `png` and `jxl` (JPEG XL) without loss; `jpeg` without colour subsampling; `raw`: copies for every slide (corners
    move to the grid; a slide where that is not possible is refused); `none`: not at all, tiles are read from the slides whenever they are needed."""

    jpeg_quality: int = Field(default=95, ge=50, le=100)
    """Quality of JPEG tiles."""

    broken_slides: Literal["stop", "skip"] = "stop"
    """What a slide that cannot be opened, or has no scale, does to the job; skipped ones are listed in `slides.csv`."""

    workers: int | None = Field(default=None, ge=0, le=1024)
    """Processes that read slides at the same time, each below 500 MB; without it one for each processor core. 0: this process reads them itself, and
    a reader that crashes ends it. The result is the same whatever the number."""

    scheduler: str | None = None
    """Address of a Dask scheduler (`tcp://...`) whose workers cut the slides, or `local` for a cluster of processes on this machine. Extra `cluster`."""

    max_silence_s: float = Field(default=300.0, ge=1, allow_inf_nan=False)
    """Seconds after which a process that makes no progress (no tile, no step of an overview, no image) hangs: it is killed, and its slide is tried once
    more and then given up, as after a crash. Raise it for a slow file server. With `workers = 0` nothing is watched."""

    retry_left_out: bool = False
    """Slides that a finished stage left out when it cut the others (`broken_slides = "skip"`) are tried again, and joined where they can be cut now: a process
    that was killed for want of memory leaves out an intact slide. No other slide is cut again."""

    recut_changed_code: bool = False
    """Slides that were cut by other source code of this version are cut again, those of a finished stage too. Without it they are kept, and it is said:
    other code may differ by a comment alone."""

    regions: str | None = None
    """Where region files (QuPath GeoJSON, ImageScope or ASAP XML) are that no slide table names: an ending such as ".geojson" of the files beside the
    slides, or a folder with files called like the slides, relative to the folder of the settings."""

    region_classes_shown: tuple[str, ...] = ()
    """With `pseudonym_key`, classes of outlined regions whose names may be written, beside those that `placement` names; any other becomes a pseudonym,
    since a class may be called after a patient."""

    placement: PlacementConfig = PlacementConfig()
    """Section `[tiles.placement]`: tiles on a grid, where outlined regions are, or around outlined objects."""

    images: ImagesConfig | None = None
    """Section `[tiles.images]`: the sources are images that are cut already."""

    @model_validator(mode="after")
    def _images_take_only_what_is_for_them(self) -> Self:
        if self.images is not None and self.format in ("raw", "none"):
            raise ValueError(f'format = "{self.format}" is for slides; images are stored as auto, png, jxl or jpeg')
        for name in ("pseudonym_key", "min_stains_per_case", "recut_changed_code", "retry_left_out"):
            if self.images is not None and getattr(self, name) not in (None, False):
                raise ValueError(f"{name} is for slides; of images, name or leave out in their table what is not to be known")
        return self

    @model_validator(mode="after")
    def _has_one_scale(self) -> Self:
        scales = {"mpp": self.asked_mpp, "magnification": self.magnification, "level": self.level}
        given = [name for name, value in scales.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"the scale is given by {' and '.join(given) or 'nothing'}; give exactly one of mpp, magnification and level")
        if self.images is not None and (self.asked_mpp is None or self.regions or self.placement.way != "grid"):
            raise ValueError("images that are cut already have an mpp, and neither magnification, level, regions nor placement")
        return self

    @model_validator(mode="after")
    def _scores_exist(self) -> Self:
        for name in ("max_blur", "min_compartment"):
            if self.asked_mpp is not None and getattr(self, name) is not None and not has_detail(self.asked_mpp):
                raise ValueError(f"{name} needs tiles of at most {DETAIL_MPP:g} um/px, not {self.asked_mpp:g}: coarser ones do not show it")
        return self

    @property
    def mpp(self) -> float:
        """Scale of the tiles, um/px: as asked for, or as `scaled` found it in the slides."""
        assert self.asked_mpp is not None, "magnification and level are resolved by `plan.scaled`"
        return self.asked_mpp

    @property
    def scale_text(self) -> str:
        """The scale as it was asked for."""
        if self.magnification is not None:
            return f"x{self.magnification:g}"
        return f"level {self.level}" if self.level is not None else f"{self.mpp:g} um/px"

    @property
    def limits(self) -> Limits:
        """The thresholds that drop tiles."""
        return Limits(self.max_background, self.max_pen, self.max_black, self.max_blur, self.min_compartment)

    @property
    def stored_px(self) -> int:
        """Edge of a tile as stored, tile px."""
        return math.ceil(self.tile_px * self.margin - 1e-9)

    @property
    def step_px(self) -> int:
        """Step of the grid, tile px."""
        return self.stride_px or self.stored_px

    def recorded(self) -> dict[str, Any]:
        """What the manifest says of these settings: all that can change a pixel. How tiles are stored without loss does not: `png` stands for all ways.

        Of the key, what it makes is recorded (with the inputs) and not its place. With a key the sources are not recorded either: their
        names are identities, and what they led to stands with the inputs. Region files are recorded with the inputs, by their content. Nor is it
        recorded who cuts.
        """
        left_out = {name for name in _LATER if getattr(self, name) == type(self).model_fields[name].default}
        private = {"pseudonym_key"} if self.pseudonym_key is None else {"pseudonym_key", "slides"}
        said = self.model_dump(mode="json", by_alias=True, exclude=left_out | private | _WHO | {"regions"})
        if self.magnification is not None or self.level is not None:
            said["mpp"] = None  # what was found stands in the index
        if "placement" in said:
            said["placement"] = self.placement.recorded()
        return said | ({"format": "png"} if self.format in ("auto", "jxl", "none") else {})
