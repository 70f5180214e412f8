"""Histograms of scores between 0 and 1 as inline SVG in the colours of the page.

Heights are square roots of counts, so that a rare score is seen beside a common one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

NUM_BINS = 25
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 260, 108, 6, 16, 18


def histogram(values: Sequence[float], *, title: str, limit: float | None = None) -> str:
    """The SVG for `values` in 0 to 1, with a line at `limit`; equal values give equal text. Values outside fall into the outermost bins."""
    counts, _ = np.histogram(np.clip(np.asarray(values, np.float64), 0, 1), bins=NUM_BINS, range=(0, 1))
    across, down = _WIDTH - 2 * _LEFT, _HEIGHT - _TOP - _BOTTOM
    base, highest = _HEIGHT - _BOTTOM, math.sqrt(max(int(counts.max(initial=0)), 1))
    bars = "".join(_bar(number, int(count), across=across, down=down, base=base, highest=highest) for number, count in enumerate(counts))
    line = ""
    if limit is not None:
        x = _LEFT + across * limit
        anchor, shift = ("end", -3) if limit > 0.7 else ("start", 3)
        line = (
            f'<path class="limit" d="M{x:.1f} {_TOP - 4}V{base}"/>'
            f'<text class="mark" text-anchor="{anchor}" x="{x + shift:.1f}" y="{_TOP + 3}">{limit:g}</text>'
        )
    ticks = "".join(
        f'<text text-anchor="{anchor}" x="{_LEFT + across * at:.0f}" y="{_HEIGHT - 5}">{at:g}</text>'
        for at, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}"><path class="bars" d="{bars}"/>'
        f'<path class="axis" d="M{_LEFT} {base + 0.5}h{across}"/>{line}{ticks}<text x="{_LEFT}" y="10">{title} ({len(values):,})</text></svg>'
    )


def _bar(number: int, count: int, *, across: int, down: int, base: int, highest: float) -> str:
    if not count:
        return ""
    height = max(1.0, down * math.sqrt(count) / highest)
    left, width = _LEFT + across * number / NUM_BINS, across / NUM_BINS - 1
    return f"M{left:.1f} {base}v-{height:.1f}h{width:.1f}V{base}z"
