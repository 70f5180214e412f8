"""Candidates of a dataset: what one is, and how its files and its row are written.

Candidate i has the z of the stream "dataset.z" at counter i: any pair can be drawn again from the dataset's seed and its number.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from hdgan.dataset.config import DatasetConfig
from hdgan.errors import BadInput
from hdgan.labels import IGNORE, ClassMap
from hdgan.measures.calibration import image_score
from hdgan.randomness import stream
from hdgan.store.atomic import write_png
from hdgan.store.hashing import hash_array
from hdgan.store.pairs import IMAGES, MASKS, write_pair

UNCERTAINTY = "uncertainty"


class Labelled(NamedTuple):
    """What a generator and its classifier make of one z.

    `w` float32 `[w_dim]`, truncated; `image` uint8 `[H, W, 3]`; `mask` uint8 `[H, W]`; `uncertainty` float32 `[H, W]`, nats.
    """

    w: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    uncertainty: np.ndarray


class Labeller(Protocol):
    """Draws labelled images."""

    classes: ClassMap
    z_dim: int
    mpp: float | None

    def __call__(self, z: np.ndarray) -> Labelled:
        """The labelled image of z, float32 `[z_dim]`."""


@dataclass(frozen=True)
class CandidateRow:
    """One candidate, as `pairs.csv` and `dropped.csv` list it."""

    stem: str
    candidate: int
    seed: int
    latent_hash: str
    """Of w, float32 `[w_dim]`."""
    image_hash: str
    """Of the pixels, uint8 `[H, W, 3]`."""
    mask_hash: str
    """Of the mask as written, uint8 `[H, W]`."""
    uncertainty: float
    """Score of the image, nats (`calibration.image_score`)."""
    ignored: float
    """Share of pixels written as 255."""
    shares: tuple[float, ...]
    """Share of all pixels per class."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CandidateRow:
        """The row of `to_json`."""
        return cls(**{**data, "shares": tuple(data["shares"])})


def stem_of(index: int) -> str:
    """File stem of candidate number `index`."""
    return f"{index:06d}"


def draw_candidate(label: Labeller, config: DatasetConfig, index: int, *, out: Path, seed: int) -> CandidateRow:
    """Writes the files of candidate number `index` below `out`; its row.

    Raises:
        BadInput: an uncertainty is not finite.
    """
    z = stream(seed, "dataset.z", index).standard_normal(label.z_dim, dtype=np.float32)
    found = label(z)
    if not np.isfinite(found.uncertainty).all():
        raise BadInput(f"candidate {index}", "its uncertainty is not finite", "the classifier's weights are broken: fit it again")
    mask = found.mask
    if config.ignore_above is not None:
        mask = np.where(found.uncertainty > config.ignore_above, np.uint8(IGNORE), mask)
    stem = stem_of(index)
    write_pair(out, stem, found.image, mask)
    if config.uncertainty_maps:
        write_png(out / UNCERTAINTY / f"{stem}.png", uncertainty_levels(found.uncertainty, num_classes=len(label.classes)))
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    return CandidateRow(
        stem=stem,
        candidate=index,
        seed=seed,
        latent_hash=hash_array(found.w),
        image_hash=hash_array(found.image),
        mask_hash=hash_array(mask),
        uncertainty=image_score(found.uncertainty, top_share=config.top_share),
        ignored=float(counts[IGNORE] / mask.size),
        shares=tuple(float(count / mask.size) for count in counts[: len(label.classes)]),
    )


def uncertainty_levels(uncertainty: np.ndarray, *, num_classes: int) -> np.ndarray:
    """Grey levels uint8 `[H, W]`: 255 for ln(num_classes) nats, the most there can be."""
    levels: np.ndarray = np.clip(np.rint(uncertainty / np.log(num_classes) * 255), 0, 255).astype(np.uint8)
    return levels


def remove_files(out: Path, stem: str) -> None:
    """Removes what `draw_candidate` wrote; the image last, so that a mask never stands alone."""
    for folder in (UNCERTAINTY, MASKS, IMAGES):
        (out / folder / f"{stem}.png").unlink(missing_ok=True)
