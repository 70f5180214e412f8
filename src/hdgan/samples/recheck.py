"""Is a stored image still the one that its latent and this generator give?

A mask drawn on one picture and paired with the features of another is the field's classic silent bug (structures shifted under their labels).
So whoever pairs a mask with features renders again and asks here. In float32 the two cases are far apart: another processor or thread count
moved at most 1 grey level on 0.004 % of the pixels, the mildest wrong pairing tried (psi 0.701 for 0.700) moved 7.8 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hdgan.generator.protocol import LatentGenerator
from hdgan.samples.draw import render_pixels
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array

ROUNDING_LEVELS = 1
"""Grey levels by which rounding may move a pixel."""

ROUNDING_SHARE = 0.005
"""Share of pixels that rounding may move: a hundred times what was measured, a fifteenth of the mildest wrong pairing."""

Outcome = Literal["identical", "rounding", "different"]


@dataclass(frozen=True)
class Verdict:
    """What the comparison found: `worst_level` in grey levels, `share_changed` of the pixels (0 to 1), `reason` in words."""

    outcome: Outcome
    worst_level: int
    share_changed: float
    reason: str

    @property
    def is_usable(self) -> bool:
        """Whether a mask of the stored image may be paired with what was rendered."""
        return self.outcome != "different"


def recheck(generator: LatentGenerator, bank: SampleBank, index: int, *, rendered: NDArray[np.uint8] | None = None) -> Verdict:
    """The verdict on sample number `index` of `bank`, rendered again by `generator`, if it is not at hand as `rendered` `[H, W, 3]`.

    "different" also when the stored files no longer have their stated hashes, or the generator is another one: small changes of the weights
    can hide within rounding.

    Raises:
        BadInput: the generator gives pixels that are not finite.
    """
    row = bank.row(index)
    stored, w = bank.image(index), bank.latent(index)
    if hash_array(stored) != row.image_hash:
        return _refused(f"the stored image {row.name} has changed since it was drawn")
    if hash_array(w) != row.latent_hash:
        return _refused(f"the stored latent of {row.name} has changed since it was drawn")
    if generator.content_hash != row.generator_hash:
        return _refused(f"{row.name} was drawn by generator {row.generator_hash[:12]}, this is {generator.content_hash[:12]}")
    return compare(render_pixels(generator, w, what=f"sample {row.name}") if rendered is None else rendered, stored)


def compare(rendered: NDArray[np.uint8], stored: NDArray[np.uint8]) -> Verdict:
    """The verdict on two images uint8 `[H, W, 3]`, by their pixels alone; a pixel has changed when any of its channels has."""
    if rendered.shape != stored.shape:
        return _refused(f"the rendered image has shape {rendered.shape}, the stored one {stored.shape}")
    moved = np.abs(rendered.astype(np.int16) - stored.astype(np.int16)).max(axis=2)
    worst, share = int(moved.max()), float(np.count_nonzero(moved) / moved.size)
    found = f"{share:.4%} of the pixels moved, by at most {worst} grey levels"
    if worst == 0:
        return Verdict("identical", 0, 0.0, "every pixel is equal")
    is_rounding = worst <= ROUNDING_LEVELS and share <= ROUNDING_SHARE
    return Verdict("rounding" if is_rounding else "different", worst, share, found)


def _refused(reason: str) -> Verdict:
    """A verdict that needs no pixels."""
    return Verdict("different", 255, 1.0, reason)
