"""A second opinion on a region: the same slide through the other reader.

It tells a fault of one reader from a fault of the file. It does not prove pixels right: both decode JPEG with libjpeg-turbo and JPEG 2000
with OpenJPEG, so damage that is valid code gives the same wrong pixels in both (`benchmarks/tiles/seen_damage.py` counts how often).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.direct import DirectSlide
from hdgan.slides.probe import direct_twin, is_aligned
from hdgan.slides.protocol import SlideReader, level_region
from hdgan.slides.pyramid import PyramidSlide
from hdgan.slides.resample import sampled_blocks
from hdgan.slides.tiff import UnsuitedError

BLOCK_PX = 32

Verdict = Literal["same", "differ", "first fails", "second fails", "both fail", "not comparable"]


@dataclass(frozen=True)
class CrossCheck:
    """What two readers make of one region."""

    verdict: Verdict
    """"not comparable": both decode it, and OpenSlide blends neighbouring pixels there."""
    detail: str = ""
    """The errors, or the largest difference in grey levels."""
    mean_gap: float = 0.0
    """The largest difference of means, grey levels, over blocks of about `BLOCK_PX`: next to nothing where neighbouring pixels were blended."""

    @property
    def is_trusted(self) -> bool:
        """Nothing speaks against the pixels of the first reader."""
        return self.verdict in ("same", "not comparable")


def second_reader(slide: SlideReader) -> SlideReader | None:
    """The same slide through the other reader, to be closed by the caller: OpenSlide for a direct one, direct for OpenSlide's.

    None for a plain image, and for a format that OpenSlide alone reads. A direct reader that failed its probe is given all the same: its
    pixels may differ in a legitimate way, which the `reason` of `slide` states.

    Raises:
        BadInput: OpenSlide no longer opens the file.
    """
    if isinstance(slide, DirectSlide):
        return PyramidSlide(slide.path, mpp_override=slide.mpp, reason="second reader")
    if not isinstance(slide, PyramidSlide):
        return None
    try:
        twin = direct_twin(slide)
    except UnsuitedError:
        return None
    twin.reason = "second reader"
    return twin


def cross_check(
    first: SlideReader,
    second: SlideReader,
    xy: tuple[int, int],
    *,
    level0_size: int | tuple[int, int],
    out_px: int | tuple[int, int],
    seen: np.ndarray | BadInput | None = None,
) -> CrossCheck:
    """How the two compare on the region that `SlideReader.read` takes with the same arguments; neither fails for it.

    `seen` is what the first gave, `[H, W, 3]` or its error, where that is known; it is not read again then.

    Raises:
        BadInput: more pixels are asked for than there are.
    """
    level, corner, _ = level_region(first.levels, xy, level0_size=level0_size, out_px=out_px, where=first.path)
    found: list[np.ndarray] = []
    errors: list[str] = []
    failing: list[str] = []
    for name, reader in (("first", first), ("second", second)):
        try:
            if name == "first" and isinstance(seen, BadInput):
                raise seen
            if name == "first" and isinstance(seen, np.ndarray):
                found.append(seen)
            else:
                found.append(reader.read(xy, level0_size=level0_size, out_px=out_px))
        except BadInput as error:
            failing.append(name)
            errors.append(str(error))
    if len(failing) == 2:
        return CrossCheck("both fail", " | ".join(errors))
    if failing:
        return CrossCheck("first fails" if failing == ["first"] else "second fails", errors[0])
    if np.array_equal(found[0], found[1]):
        return CrossCheck("same")
    difference = f"up to {int(np.abs(found[0].astype(np.int16) - found[1]).max())} grey levels"
    num = max(1, min(found[0].shape[:2]) // BLOCK_PX)
    gap = float(np.abs(sampled_blocks(found[0], num)[0] - sampled_blocks(found[1], num)[0]).max())
    if {first.reader, second.reader} == {"direct", "openslide"} and not is_aligned(first.levels[level].downsample, corner):
        return CrossCheck("not comparable", difference, gap)
    return CrossCheck("differ", difference, gap)
