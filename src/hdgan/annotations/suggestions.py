"""Which images to annotate next: those that are predicted to show what few annotated images show, and about which the classifiers are least certain.

A model chose these images, so nothing may be measured on them: once annotated they only train (`split.split_names`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdgan.errors import DamagedArtifact

FILE = "suggestions.json"
ROUND = "round-{:02d}"
SCHEMA = 1
_SHOWN_PART = 0.25


@dataclass(frozen=True)
class Candidate:
    """An image that nobody annotated yet, as the classifiers see it."""

    name: str
    shares: tuple[float, ...]
    """Share of its pixels that each class has."""
    uncertainty: float
    """Score of the image, nats (`calibration.image_score`)."""


@dataclass(frozen=True)
class Suggestion:
    """An image to annotate, and the class for whose sake it was chosen."""

    candidate: Candidate
    class_index: int


def limits(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of an image from which on it shows a class, float64 `[num_classes]`: a quarter of what the class has in the median annotated image that
    has any of it, so that an arteriole counts and a few wrong pixels of a glomerulus do not; infinite for a class that nobody drew.

    `shares` float64 `[N, num_classes]`, of the annotated images.
    """
    found = np.full(shares.shape[1], np.inf)
    for value, column in enumerate(shares.T):
        if (column > 0).any():
            found[value] = _SHOWN_PART * np.median(column[column > 0])
    return found


def choose_next(candidates: Sequence[Candidate], annotated: NDArray[np.float64], *, num: int) -> tuple[Suggestion, ...]:
    """`num` of the candidates (all, where there are fewer), the first the most useful.

    `annotated` float64 `[N, num_classes]`: the share of each class in the annotated images. Again and again: of the class that the fewest images show
    (`limits`), those suggested so far among them, the least certain image that is predicted to show it (of classes that as few show, the first); an
    image counts for every class that it is predicted to show. A class that no image is left of is passed over, and so is one that nobody drew: the
    classifiers cannot know it. Equal candidates give an equal choice.
    """
    least = limits(annotated)
    shown_by, left = (annotated >= least).sum(axis=0), list(candidates)
    chosen: list[Suggestion] = []
    while left and len(chosen) < num:
        found = _scarcest(left, shown_by, least)
        if found is None:
            break  # nothing that is left shows any class
        best = max((one for one in left if one.shares[found] >= least[found]), key=lambda one: one.uncertainty)
        left.remove(best)
        chosen.append(Suggestion(best, found))
        shown_by = shown_by + (np.array(best.shares) >= least)
    return tuple(chosen)


def suggested_names(folder: Path, *, samples: str) -> frozenset[str]:
    """The samples that any round below `folder` suggested; rounds of another bank than that whose manifest has the hash `samples` do not count.

    Raises:
        DamagedArtifact: a round cannot be read: what it suggested might be measured on.
    """
    names: set[str] = set()
    for path in sorted(folder.glob(f"*/{FILE}")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["inputs"]["samples"] == samples:
                names.update(str(row["name"]) for row in data["suggestions"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedArtifact(path, f"is no list of suggestions ({error!r})", "remove its folder and suggest again") from error
    return frozenset(names)


def _scarcest(left: Sequence[Candidate], shown_by: NDArray[np.int64], least: NDArray[np.float64]) -> int | None:
    for value in np.argsort(shown_by, kind="stable").tolist():
        if any(one.shares[value] >= least[value] for one in left):
            return int(value)
    return None
