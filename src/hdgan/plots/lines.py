"""Curves as inline SVG in the colours of the page: one thin line for each series, all on the same axes."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 300, 150, 38, 8, 18, 20

Series = Sequence[tuple[float, float]]
"""Points (x, y) from left to right; a point that is not finite is left out."""


def line_chart(series: Sequence[Series], *, title: str, mark: float | None = None, ends: tuple[str, str] | None = None) -> str:
    """The SVG of `series` on axes that hold all their points, with a dashed line at height `mark`; equal points give equal text.

    `ends` stand below the left and the right end where the places across are no numbers.
    """
    points = [[(x, y) for x, y in one if math.isfinite(x) and math.isfinite(y)] for one in series]
    xs = [x for one in points for x, _ in one] or [0.0, 1.0]
    ys = [y for one in points for _, y in one] + ([] if mark is None else [mark]) or [0.0, 1.0]
    x_low, x_high = _ends(min(xs), max(xs))
    y_low, y_high = _ends(min(ys), max(ys))

    def place(x: float, y: float) -> str:
        across = (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        up = (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{_LEFT + across:.1f} {_HEIGHT - _BOTTOM - up:.1f}"

    paths = "".join(f'<path class="curve" d="M{"L".join(place(x, y) for x, y in one)}"/>' for one in points if one)
    dashed = "" if mark is None else f'<path class="aim" d="M{place(x_low, mark)}L{place(x_high, mark)}"/>'
    left, right = (_tick(x_low), _tick(x_high)) if ends is None else (html.escape(text) for text in ends)
    texts = (
        f'<text text-anchor="end" x="{_LEFT - 4}" y="{_HEIGHT - _BOTTOM}">{_tick(y_low)}</text>'
        f'<text text-anchor="end" x="{_LEFT - 4}" y="{_TOP + 6}">{_tick(y_high)}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{left}</text>'
        f'<text text-anchor="end" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}">{right}</text>'
    )
    name = html.escape(title, quote=True)
    return (
        f'<svg class="lines" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">'
        f'<path class="axis" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"/>{dashed}{paths}{texts}<text x="0" y="10">{name}</text></svg>'
    )


def _tick(value: float) -> str:
    """At most six letters."""
    if 1000 <= abs(value) < 99_999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.0e}"


def _ends(low: float, high: float) -> tuple[float, float]:
    """Two ends that differ."""
    return (low, high) if high > low else (low - 0.5, high + 0.5)
