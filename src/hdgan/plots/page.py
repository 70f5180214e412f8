"""A report as one HTML page: own style, pictures inlined or beside it, nothing fetched from elsewhere; light and dark, wide and narrow."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from hdgan.labels import ClassMap
from hdgan.store.atomic import encode_png

_STYLE = """
:root { --ink: #1d1b22; --paper: #fbfafc; --line: #dcd7e2; --soft: #6b6474; --accent: #7a3b8f; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece8f0; --paper: #17151b; --line: #3a3542; --soft: #a49bb0; --accent: #cf9be0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
.lead, figcaption, .note { color: var(--soft); } .note { font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.fact { border-top: 3px solid var(--accent); padding-top: .4rem; } .fact b { display: block; font-size: 1.5rem; }
.fact span { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; } tr.own td { font-weight: 650; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; border-radius: 4px; image-rendering: pixelated; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: .6rem 0; font-size: .9rem; }
.legend i { display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin-right: .4em; vertical-align: -.1em; border: 1px solid var(--line); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .6rem 1.4rem; margin: 1rem 0; }
.histogram { width: 100%; max-width: 22rem; height: auto; } .histogram text { font-size: 10px; fill: var(--soft); } .bars { fill: var(--accent); }
.lines { width: 100%; max-width: 26rem; height: auto; } .lines text { font-size: 10px; fill: var(--soft); }
.curve { stroke: var(--accent); fill: none; opacity: .6; }
.aim { stroke: #d03a2b; stroke-dasharray: 4 3; fill: none; }
table.matrix { width: auto; } .matrix td { min-width: 5.5rem; }
.matrix thead th { max-width: 12rem; overflow-wrap: break-word; font-size: .82rem; }
.matrix td i { display: block; font-style: normal; font-size: .78rem; opacity: .8; }
.axis { stroke: var(--line); fill: none; } .limit { stroke: #d03a2b; stroke-width: 1.5; fill: none; } .histogram text.mark { fill: #d03a2b; font-weight: 600; }
.layers { position: relative; display: inline-block; max-width: 100%; line-height: 0; border: 1px solid var(--line); }
.layers img { border-radius: 0; image-rendering: auto; } .layers img + img { position: absolute; inset: 0; width: 100%; height: 100%; }
body:has(#over:not(:checked)) .layers img + img { display: none; } .switch { position: sticky; top: 0; padding: .4rem 0; background: var(--paper); z-index: 1; }
section { content-visibility: auto; contain-intrinsic-size: auto 30rem; border-top: 1px solid var(--line); margin-top: 1.6rem; }
.beside { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; }
.beside .layers { flex: 0 1 auto; } .beside .charts { flex: 1 1 14rem; margin: 0; }
section h3 { font-size: 1rem; margin: .8rem 0 .3rem; overflow-wrap: anywhere; } a { color: var(--accent); } .links a { margin-right: 1.1rem; }
"""


@dataclass
class Page:
    """A page that is filled from top to bottom."""

    title: str
    lead: str
    _parts: list[str] = field(default_factory=list)

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """A row of key numbers: (value, what it is)."""
        cells = "".join(f'<div class="fact"><b>{_text(value)}</b><span>{_text(label)}</span></div>' for value, label in pairs)
        self._parts.append(f'<div class="facts">{cells}</div>')

    def heading(self, text: str) -> None:
        """The title of a section."""
        self._parts.append(f"<h2>{_text(text)}</h2>")

    def note(self, text: str) -> None:
        """A paragraph in small type."""
        self._parts.append(f'<p class="note">{_text(text)}</p>')

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], *, own: Sequence[int] = ()) -> None:
        """A table; the rows numbered in `own` stand out."""
        columns = "".join(f"<th>{_text(cell)}</th>" for cell in head)
        lines = []
        for number, row in enumerate(rows):
            mark = ' class="own"' if number in own else ""
            lines.append(f"<tr{mark}>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>")
        self._parts.append(f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>')

    def matrix(self, head: Sequence[str], rows: Sequence[tuple[str, Sequence[tuple[float | None, str]]]]) -> None:
        """A table of shares: of each row its name and (share 0 to 1 or None, small text) for each column; the larger a share, the darker its cell."""
        columns = "".join(f"<th>{_text(cell)}</th>" for cell in head)
        lines = []
        for name, cells in rows:
            marked = "".join(_shaded(share, text) for share, text in cells)
            lines.append(f"<tr><td>{_text(name)}</td>{marked}</tr>")
        self._parts.append(
            f'<div class="scroll"><table class="matrix"><thead><tr>{columns}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        )

    def picture(self, pixels: NDArray[np.uint8], caption: str) -> None:
        """A picture uint8 `[H, W, 3]` and what is seen on it."""
        data = base64.b64encode(encode_png(pixels)).decode()
        alt = html.escape(caption, quote=True)
        self._parts.append(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"><figcaption>{_text(caption)}</figcaption></figure>'
        )

    def legend(self, classes: ClassMap) -> None:
        """The colours of the classes."""
        self.key([(entry.colour, entry.name) for entry in classes.classes])

    def key(self, entries: Sequence[tuple[str, str]]) -> None:
        """Colours and what they mean: (colour as in CSS, text)."""
        spans = "".join(f'<span><i style="background:{colour}"></i>{_text(text)}</span>' for colour, text in entries)
        self._parts.append(f'<div class="legend">{spans}</div>')

    def links(self, pairs: Sequence[tuple[str, str]]) -> None:
        """A line of links: (place relative to the page, text)."""
        anchors = "".join(f'<a href="{quote(place, safe="/#")}">{_text(text)}</a>' for place, text in pairs)
        self._parts.append(f'<p class="links">{anchors}</p>')

    def charts(self, svgs: Sequence[str]) -> None:
        """Small charts side by side, as made by `plots.histograms` and `plots.lines`."""
        self._parts.append(f'<div class="charts">{"".join(svgs)}</div>')

    def switch(self, text: str) -> None:
        """A box to tick that shows or hides the upper layer of all `layers` below it."""
        self._parts.append(f'<p class="switch"><label><input type="checkbox" id="over" checked> {_text(text)}</label></p>')

    @contextmanager
    def section(self, title: str, *, name: str) -> Iterator[None]:
        """A part with an anchor `name` that the browser lays out when it comes into view: a page may hold thousands."""
        self._parts.append(f'<section id="{html.escape(name, quote=True)}"><h3>{_text(title)}</h3>')
        yield
        self._parts.append("</section>")

    def layers(self, lower: str, upper: str, *, size_px: tuple[int, int], caption: str, charts: Sequence[str]) -> None:
        """Two pictures of `size_px` (width, height) that lie beside the page, one over the other, loaded when they come into view; charts next to them."""
        alt = html.escape(caption, quote=True)
        sized = f'width="{size_px[0]}" height="{size_px[1]}" loading="lazy" decoding="async"'
        images = f'<img alt="{alt}" src="{quote(lower)}" {sized}><img alt="" src="{quote(upper)}" {sized}>'
        self._parts.append(f'<div class="beside"><div class="layers">{images}</div><div class="charts">{"".join(charts)}</div></div>')

    def html(self) -> str:
        """The whole page."""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_text(self.title)}</title><style>{_STYLE}</style></head><body>"
            f'<h1>{_text(self.title)}</h1><p class="lead">{_text(self.lead)}</p>{"".join(self._parts)}</body></html>\n'
        )


def _shaded(share: float | None, text: str) -> str:
    small = f"<i>{_text(text)}</i>" if text else ""
    if share is None:
        return f"<td>–{small}</td>"  # noqa: RUF001 - a dash
    return f'<td style="background:color-mix(in srgb, var(--accent) {round(70 * share)}%, transparent)">{100 * share:.1f}{small}</td>'


def _text(value: str) -> str:
    return html.escape(value, quote=False)
