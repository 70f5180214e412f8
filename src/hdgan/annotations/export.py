"""The masks of a run for other eyes: outlines that QuPath opens, and sheets for a person who corrects them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hdgan.annotations.blends import FOLDER as BLENDS
from hdgan.annotations.blends import drawn_blend
from hdgan.annotations.corrections import SIDECAR
from hdgan.annotations.geojson import geojson_text, mask_to_geojson
from hdgan.annotations.reader import AnnotationSet
from hdgan.plots.proposals import PER_PAGE, Proposal, proposal_pages
from hdgan.store.atomic import write_json, write_png, write_text
from hdgan.store.bank import SampleBank


def export_geojson(folder: Path, *, out: Path) -> list[Path]:
    """Writes the masks in stage folder `folder` as one QuPath file each into `out`; the paths. Marks of blends go beside them, as they are imported.

    Raises:
        BadInput: the stage has not been run.
    """
    annotations = AnnotationSet(folder)
    written = []
    for row in annotations.rows:
        about = {"annotator": row.annotator, "image_hash": row.image_hash, "mask_hash": row.mask_hash}
        data = mask_to_geojson(annotations.mask(row.name), annotations.classes, name=row.name, metadata=about)
        written.append(out / f"{row.name}.geojson")
        write_text(written[-1], geojson_text(data))
        if row.blend_hash is not None:
            write_png(out / BLENDS / f"{row.name}.png", drawn_blend(annotations.blend(row.name)))
    return written


def export_sheets(folder: Path, *, samples: Path, out: Path, names: Sequence[str] | None = None, per_page: int = PER_PAGE) -> list[Path]:
    """Writes pages of image, outlines and colours with coordinates of the samples called `names` (all annotated ones) into `out`; their paths.

    Beside them goes `corrections.json`, which ties corrections to the images and proposals shown.
    `folder` is the stage folder of the annotations, `samples` the bank that they are of.

    Raises:
        BadInput: a stage has not been run, or a sample is not annotated.
        ValueError: `names` is empty.
    """
    annotations, bank = AnnotationSet(folder), SampleBank(samples)
    shown, notes = [], {}
    for name in annotations.names if names is None else names:
        row = annotations.row(name)
        shown.append(Proposal(name, bank.image(bank.by_name(name).index), annotations.mask(name), f"mask by {row.annotator}"))
        notes[name] = {"image_hash": row.image_hash, "proposal_hash": row.proposal_hash or row.mask_hash}
    written = []
    for number, page in enumerate(proposal_pages(shown, annotations.classes, per_page=per_page), start=1):
        written.append(out / f"page-{number:02d}.png")
        write_png(written[-1], page)
    write_json(out / SIDECAR, notes)
    return written
