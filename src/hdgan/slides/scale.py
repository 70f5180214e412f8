"""One scale in um/px out of what a person asks for: mpp, magnification or level. All three are turned into mpp before anything is read.

A magnification is that of the slide's own objective: x40 on one scanner has 0.23 um/px and on another 0.26, so nothing is assumed where the
slide does not state it.
"""

from __future__ import annotations

import math

from hdgan.errors import BadConfig, BadInput
from hdgan.slides.protocol import SlideReader
from hdgan.slides.reader import known_mpp
from hdgan.types import Mpp

CONTRADICTS_FROM = 1.5
"""Ratio of a given scale to a stated one that is no calibration: a wrong unit, a wrong objective, or a file that states a wrong scale."""
FINER_WITHIN = 1e-3
"""Share by which a scale may be finer than level 0: rounding in stated scales, which is read pixel by pixel."""


def requested_mpp(
    slide: SlideReader,
    *,
    mpp: float | None = None,
    magnification: float | None = None,
    level: int | None = None,
    fallback: float | None = None,
) -> Mpp:
    """The scale asked for, um/px, by exactly one of `mpp`, `magnification` (20 for x20) and `level` (0 is the finest).

    `fallback` is the scale of level 0, um/px, for a slide that states none.

    Raises:
        BadConfig: none or several are given, or one is no positive number.
        BadInput: the slide has no scale, no such level, states no objective, or is coarser than what is asked: there is no upsampling.
    """
    asked = [name for name, value in (("mpp", mpp), ("magnification", magnification), ("level", level)) if value is not None]
    if len(asked) != 1:
        raise BadConfig("scale", f"given by {' and '.join(asked) or 'nothing'}", "give exactly one of mpp, magnification and level")
    finest = known_mpp(slide, fallback=fallback)
    if level is not None:
        return _of_level(slide, finest, level)
    wanted = _positive("mpp", mpp) if mpp is not None else _of_magnification(slide, finest, _positive("magnification", magnification))
    if wanted < finest * (1 - FINER_WITHIN):
        raise BadInput(
            slide.path, f"its finest level has {finest:g} um/px, coarser than the {wanted:g} asked for", f"ask for {finest:g} um/px or more"
        )
    return Mpp(max(wanted, finest))


def contradiction(slide: SlideReader) -> str:
    """A line where the scale given for a slide is far from the one that its file states; empty where it is not, or there are not both."""
    given, stated = slide.mpp, slide.stated_mpp
    if given is None or stated is None or 1 / CONTRADICTS_FROM < given / stated < CONTRADICTS_FROM:
        return ""
    return f"is taken to have {given:g} um/px, as was given for it, and its file states {stated:g}: if that is right, mend the slide table"


def level_mpp(slide: SlideReader, level: int, *, fallback: float | None = None) -> Mpp:
    """The scale of a level of the slide, um/px.

    Raises:
        BadInput: the slide has no scale or no such level.
    """
    return _of_level(slide, known_mpp(slide, fallback=fallback), level)


def _of_level(slide: SlideReader, finest: Mpp, level: int) -> Mpp:
    if not 0 <= level < len(slide.levels):
        raise BadInput(slide.path, f"has no level {level}", f"its levels are 0 to {len(slide.levels) - 1}")
    return Mpp(finest * slide.levels[level].downsample)


def _of_magnification(slide: SlideReader, finest: Mpp, magnification: float) -> float:
    if slide.objective is None:
        raise BadInput(slide.path, "does not state the magnification of its objective", "ask for a scale in um/px (mpp) or for a level")
    return finest * slide.objective / magnification


def _positive(name: str, value: float | None) -> float:
    if value is None or not (math.isfinite(value) and value > 0):
        raise BadConfig(name, f"{value} is no scale", "give a positive number")
    return float(value)
