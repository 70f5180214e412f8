"""A finished start in one small folder: generator, latents, annotated images and masks; from a run, and into one.

    generator.safetensors   weights, rounded to float16 before anything was drawn from them
    z.npy w.npy samples.json   latents and hashes of every sample
    images/ masks/          the annotated ones only; `masks/` is a folder as `import-masks` reads it
    corrections/            where somebody looked at the masks: a folder as `import-masks --corrections` reads it, and `masks/` are the proposals
    shortlist.json          which samples were proposed for annotation, and which were drawn at random
    suggested.json          where a model suggested some of the annotated ones: their names
    demo.toml               settings of the run that goes on from here
    MODEL_CARD.md           what it was made from, who annotated, terms

`hdgan demo` unpacks what ships in the package. Images that were annotated are copied, because a person (or whoever
stood in) drew on exactly those pixels; all others are drawn again from their latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from hdgan.annotations.reader import CLASSES, CORRECTIONS, MASKS, AnnotationSet
from hdgan.annotations.stage import run_annotations
from hdgan.errors import BadInput
from hdgan.generator.protocol import LatentGenerator
from hdgan.generator.weights import FILE, load_generator
from hdgan.pipeline.steps import Run
from hdgan.plots.sheets import contact_sheet
from hdgan.progress import SILENT, Progress, track
from hdgan.samples.draw import render_pixels
from hdgan.samples.stage import SHORTLIST, read_random
from hdgan.store.arrays import open_array
from hdgan.store.atomic import read_image, read_json, write_bytes, write_json, write_png
from hdgan.store.bank import IMAGES, INDEX, SampleBank, SampleRow, write_index, write_latents
from hdgan.store.hashing import hash_array, hash_file
from hdgan.store.stage import manifest_hash, open_stage

SETTINGS = "demo.toml"
CARD = "MODEL_CARD.md"
SIDECAR = "masks.json"
SUGGESTED = "suggested.json"
_LATENTS = ("z.npy", "w.npy")
_SHEET = "contact_sheet.png"
_SHEET_IMAGES = 64


def shipped_folder() -> Path:
    """What ships in the package.

    Raises:
        BadInput: this build of the package came without it.
    """
    folder = Path(str(resources.files("hdgan"))) / "shipped"
    if not (folder / FILE).exists():
        raise BadInput(folder, "the shipped generator is not in this build", "install hdgan from its repository, or train one: hdgan run")
    return folder


def pack(*, generator: Path, samples: Path, annotations: Path, out: Path) -> int:
    """Writes the generator, the latents and the annotated images with masks of a run's stage folders into `out`; its bytes.

    Images, masks and corrections that were packed there before are removed; settings and card are written by hand.

    Raises:
        BadInput: a stage was not finished.
    """
    bank, annotated = SampleBank(samples), AnnotationSet(annotations)
    for folder in (IMAGES, MASKS, CORRECTIONS):
        for old in (out / folder).glob("*"):
            old.unlink()
    for name in (SHORTLIST, SUGGESTED):
        (out / name).unlink(missing_ok=True)
    write_bytes(out / FILE, (generator / FILE).read_bytes())
    for name in (*_LATENTS, INDEX):
        write_bytes(out / name, (samples / name).read_bytes())
    for row in annotated.rows:
        write_png(out / IMAGES / f"{row.name}.png", bank.image(bank.by_name(row.name).index))
        write_png(out / MASKS / f"{row.name}.png", annotated.proposal(row.name))
    about = {row.name: {"image_hash": row.image_hash, "annotator": row.proposer or row.annotator} for row in annotated.rows}
    write_json(out / MASKS / SIDECAR, about)
    if (annotations / CORRECTIONS).exists():
        for path in sorted((annotations / CORRECTIONS).iterdir()):
            write_bytes(out / CORRECTIONS / path.name, path.read_bytes())
    if (samples / SHORTLIST).exists():
        write_bytes(out / SHORTLIST, (samples / SHORTLIST).read_bytes())
    if suggested := [row.name for row in annotated.rows if row.is_suggested]:
        write_json(out / SUGGESTED, suggested)
    write_json(out / MASKS / CLASSES, annotated.classes.to_json())
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def unpack(shipped: Path, run: Run, *, progress: Progress = SILENT) -> None:
    """Fills the stages generator, samples and annotations of `run` from the folder `shipped`; nothing is done twice.

    Raises:
        BadInput, DamagedArtifact: a shipped file is missing or is not what the others say.
    """
    generator, samples, annotations = (run.folder.folder(stage) for stage in ("generator", "samples", "annotations"))
    seed = run.config.run.seed
    content = hash_file(shipped / FILE)
    with open_stage(generator, stage="generator", config={}, seed=seed, inputs={"shipped": content}, redo=True) as stage:
        if not stage.is_current:
            write_bytes(stage.path / FILE, (shipped / FILE).read_bytes())
            stage.seal(counts={})
    inputs = {"generator": manifest_hash(generator), "shipped": hash_file(shipped / INDEX)}
    if (shipped / SHORTLIST).exists():
        inputs["shortlist"] = hash_file(shipped / SHORTLIST)
    with open_stage(samples, stage="samples", config={}, seed=seed, inputs=inputs, redo=True) as stage:
        if not stage.is_current:
            rows = _fill_bank(shipped, load_generator(generator / FILE), out=stage.path, progress=progress)
            if (shipped / SHORTLIST).exists():
                write_bytes(stage.path / SHORTLIST, (shipped / SHORTLIST).read_bytes())
            stage.seal(counts={"samples": len(rows)})
    settings = run.annotations()
    own = {"class_map": settings.class_map or shipped / MASKS / CLASSES}
    if (shipped / CORRECTIONS).exists():
        own["corrections"] = shipped / CORRECTIONS
    settings = settings.model_copy(update=own)
    run_annotations(
        settings,
        samples=samples,
        masks=shipped / MASKS,
        at_random=read_random(samples) if settings.random_test else (),
        suggested=read_json(shipped / SUGGESTED) if (shipped / SUGGESTED).exists() else (),
        out=annotations,
        seed=seed,
        redo=True,  # and without a word: whoever packed it was told what was corrected
    )


def _fill_bank(shipped: Path, generator: LatentGenerator, *, out: Path, progress: Progress) -> Sequence[SampleRow]:
    """A bank of every shipped latent in `out`; annotated images as shipped, the others drawn here."""
    stored = SampleBank(shipped)
    z, w = (np.array(open_array(shipped / name)) for name in _LATENTS)
    rows = []
    for row in track(stored.rows, total=len(stored), label="draw images", progress=progress):
        if row.generator_hash != generator.content_hash:
            raise BadInput(shipped / INDEX, f"{row.name} was drawn by another generator", "install hdgan again")
        path = shipped / IMAGES / f"{row.name}.png"
        image = read_image(path) if path.exists() else render_pixels(generator, w[row.index], what=f"sample {row.name}")
        write_png(out / IMAGES / f"{row.name}.png", image)
        rows.append(row if path.exists() else replace(row, image_hash=hash_array(image)))
    write_latents(out, z=z, w=w)
    shown = [read_image(out / IMAGES / f"{row.name}.png") for row in rows[:_SHEET_IMAGES]]
    write_png(out / _SHEET, contact_sheet(shown))
    write_index(out, rows, mpp=stored.mpp, resolution=stored.resolution)
    return rows


def copy_settings(shipped: Path, root: Path) -> Path:
    """The path of the shipped settings, copied into the run in `root` with the class map that they name."""
    write_bytes(root / CLASSES, (shipped / MASKS / CLASSES).read_bytes())
    write_bytes(root / SETTINGS, (shipped / SETTINGS).read_bytes())
    return root / SETTINGS
