"""The dataset card: what the pairs are, whence they come, and what they are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdgan.dataset.candidates import CandidateRow
from hdgan.dataset.config import DatasetConfig
from hdgan.dataset.write import Screened
from hdgan.labels import IGNORE, ClassMap

FILE = "README.md"


@dataclass(frozen=True)
class Origin:
    """Where the pairs come from; hashes are content hashes."""

    generator: str
    classifier: str
    annotator: str
    """Who drew the masks that the classifier learnt from."""
    num_heads: int
    """Networks in the ensemble."""


def card(
    config: DatasetConfig, origin: Origin, screened: Screened, *, classes: ClassMap, mpp: float | None, size_px: int, seed: int
) -> str:
    """The text of the card, Markdown with the metadata block that dataset hubs read."""
    scale = f"{mpp:g} um/px ({mpp * size_px:g} um wide)" if mpp is not None else "not known: the generator's tiles had no scale"
    scores = np.array([row.uncertainty for row in screened.pairs])
    total = len(screened.pairs) + len(screened.dropped)
    never = [name for name, share in zip(classes.names, _mean_shares(screened.pairs), strict=True) if share == 0]
    missing = f"\nNo pixel carries the label of: {', '.join(never)}. Nothing can be learnt or claimed about them here.\n" if never else ""
    ignored = (
        f"Pixels more uncertain than {config.ignore_above:g} nats carry {IGNORE} and are to be ignored."
        if config.ignore_above is not None
        else f"{IGNORE} is reserved for ignored pixels; none are."
    )
    return f"""---
pretty_name: {_quoted(config.title)}
license: {_quoted(config.licence)}
task_categories: [image-segmentation]
tags: [synthetic, histology]
---
# {config.title}

{len(screened.pairs)} generated images of tissue, {size_px} x {size_px} px, each with a label for every pixel. **Images and labels are synthetic.**
No image shows a patient's tissue; no label was drawn by a person: a classifier that learnt from a few annotated generated images gave them.

| | |
|---|---|
| scale | {scale} |
| annotator of the images the classifier learnt from | {_cell(origin.annotator)} |
| generator | `{origin.generator}` |
| classifier | `{origin.classifier}`, {origin.num_heads} networks |
| truncation psi | {config.psi:g} |
| label of the images | {_label(config)} |
| clean-up of contours | {_clean_up(config)} |
| seed | {seed} |
| licence | {_cell(config.licence)} |
| attribution | {_cell(config.attribution)} |

## Files
`images/<stem>.png` (8-bit RGB) and `masks/<stem>.png` (8-bit grey, class index) belong together; `classes.json` names the classes, `pairs.csv` has a
row for each pair (number of the candidate, hashes of latent, image and mask, uncertainty, class shares), `dropped.csv` one for each candidate
held back, `manifest.json` the hash of every file. {ignored}

| index | class | share of pixels | in images |
|---|---|---|---|
{_class_table(screened.pairs, classes)}
{missing}
## Screening
{total} candidates were drawn; the {len(screened.dropped)} most uncertain were dropped (asked for: {config.drop_share:.0%}, rounded down).
The uncertainty of an image is the mean over its {config.top_share:.0%} most uncertain pixels of the Jensen-Shannon divergence between the
networks, in nats. Kept: {scores.min():.4f} to {scores.max():.4f}, mean {scores.mean():.4f}. With a single network it is 0 everywhere and screens nothing.

## What it is not
- Not a test set. Score a model on real images that a person annotated, from patients the generator never saw.
- Not a sample of any population: prevalence, stains and rare findings are those of a generator's training tiles, and fewer.
- Not free of the annotator's errors: whoever drew the few masks is repeated in all of these.
- Not for diagnosis.
"""


def _label(config: DatasetConfig) -> str:
    if config.condition is None:
        return "as the training tiles are, where the generator knows labels"
    return f"{_cell(config.condition)}, asked for"


def _clean_up(config: DatasetConfig) -> str:
    if config.refinement is None:
        return "none: each pixel has the likeliest class"
    return ", ".join(
        f"{name} {value:g}" if not isinstance(value, dict) else f"{name} {value}" for name, value in config.refinement if value
    )


def _class_table(rows: Sequence[CandidateRow], classes: ClassMap) -> str:
    shares = _mean_shares(rows)
    counts = [sum(row.shares[index] > 0 for row in rows) for index in range(len(classes))]
    lines = zip(classes.names, shares, counts, strict=True)
    return "\n".join(f"| {index} | {_cell(name)} | {share:.2%} | {count} |" for index, (name, share, count) in enumerate(lines))


def _mean_shares(rows: Sequence[CandidateRow]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.mean([row.shares for row in rows], axis=0))


def _cell(text: str) -> str:
    """`text` in a cell of a Markdown table: on one line, with what would end the cell or begin a tag written out."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")


def _quoted(text: str) -> str:
    """`text` as a YAML string on one line."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'
