"""The samples stage: a generator's images and latents into the bank `3-samples/`.

Each sample is whole on the disk before the next is drawn: first its PNG, then its part `parts/<name>.json` with row and latents. A run that
was killed goes on after the last part; the bank's files are made from the parts, so their bytes do not tell how often it was killed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.errors import BadInput
from hdgan.generator.protocol import LatentGenerator
from hdgan.generator.weights import FILE, load_generator
from hdgan.plots.sheets import named_sheet, scaled
from hdgan.progress import SILENT, Progress
from hdgan.samples.config import SamplesConfig
from hdgan.samples.draw import Drawn, draw_one
from hdgan.samples.shortlist import Shortlist, choose, describe, draw_random
from hdgan.store.atomic import read_image, write_json, write_png
from hdgan.store.bank import IMAGES, INDEX, SampleBank, SampleRow, sample_name, write_index, write_latents
from hdgan.store.hashing import hash_file
from hdgan.store.stage import MANIFEST, Manifest, is_damaged, manifest_hash, open_stage, read_manifest, stage_changes

STAGE = "samples"
SHEET = "contact_sheet.png"
SHORTLIST = "shortlist.json"
SHORTLIST_SHEET = "shortlist.png"
RANDOM_SHEET = "random.png"
PARTS = "parts"

_SHEET_IMAGES = 64
_THUMBNAIL_PX = 128
_NAMED_PX = 64
"""Of the smallest image on a sheet: less has no room for its name."""


def run_samples(
    config: SamplesConfig, *, generator: Path, out: Path, seed: int, device: str = "cpu", redo: bool = False, progress: Progress = SILENT
) -> Manifest:
    """The manifest of the bank in `out`, drawn by the weights in stage folder `generator` (or in the `.safetensors` file of that path).

    Raises:
        BadConfig: the generator knows no such condition.
        BadInput: there are no weights, or they give pixels that are not finite.
        StaleStage: `out` holds a bank of other weights or settings, and `redo` is not set.
    """
    weights, inputs = weights_of(generator)
    settings = config.recorded()
    is_to_mend = redo and is_damaged(out)
    if not is_to_mend and stage_changes(out, stage=STAGE, config=settings, seed=seed, inputs=inputs) == () and (out / MANIFEST).exists():
        return read_manifest(out)
    # Damaged weights are found before a folder is begun.
    model = load_generator(weights, device=device).asked_for(config.condition)
    with open_stage(out, stage=STAGE, config=settings, seed=seed, inputs=inputs, redo=redo) as folder:
        if not (folder.path / INDEX).exists():
            fill_bank(model, config, out=folder.path, seed=seed, progress=progress)
        shutil.rmtree(folder.path / PARTS, ignore_errors=True)
        return folder.seal(counts={"samples": config.num, "shortlist": min(config.shortlist, config.num)})


def fill_bank(generator: LatentGenerator, config: SamplesConfig, *, out: Path, seed: int, progress: Progress = SILENT) -> SampleBank:
    """The bank in `out`, drawn to its end from wherever an earlier call was stopped.

    Raises:
        BadInput: the generator gives pixels that are not finite; what was drawn before stays and is used again.
    """
    done = sum(1 for _ in out.glob(f"{PARTS}/*.json"))
    progress.start("draw samples", total=config.num, done=min(done, config.num))
    for index in range(config.num):
        if not _is_drawn(out, index):
            _keep(draw_one(generator, index, psi=config.psi, seed=seed), out)
            progress.advance()
    progress.finish()
    rows, z, w = zip(*(_part(out, index) for index in range(config.num)), strict=True)
    write_latents(out, z=np.stack(z), w=np.stack(w))
    _show(out, config, seed, progress)
    # The index comes last of all: where it stands, the bank is whole.
    write_index(out, rows, mpp=generator.mpp, resolution=generator.resolution)
    return SampleBank(out)


def read_shortlist(folder: Path) -> tuple[str, ...]:
    """The names of the samples proposed for annotation, in the order of their proposal.

    Raises:
        BadInput: the stage has not been run.
    """
    return _listed(folder, lambda data: tuple(row["name"] for row in data["samples"]))


def read_random(folder: Path) -> tuple[str, ...]:
    """The names of the samples drawn at random from those that are not proposed, in the order of the draw; none where none were asked for.

    Raises:
        BadInput: the stage has not been run.
    """
    return _listed(folder, lambda data: tuple(str(name) for name in data.get("random", ())))


def weights_of(generator: Path) -> tuple[Path, dict[str, str]]:
    """The weights file in a stage folder (or itself), and what a manifest records of it.

    Raises:
        BadInput: there is none.
    """
    if generator.suffix == ".safetensors":
        if not generator.is_file():
            raise BadInput(generator, "no such weights", "train a generator first, or name another file")
        return generator, {"generator": hash_file(generator)}
    recorded = manifest_hash(generator)
    if not (generator / FILE).is_file():
        raise BadInput(generator / FILE, "the weights are missing", "train the generator again with --redo")
    return generator / FILE, {"generator": recorded}


def _listed(folder: Path, names: Callable[[Any], tuple[str, ...]]) -> tuple[str, ...]:
    try:
        return names(json.loads((folder / SHORTLIST).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(folder / SHORTLIST, f"cannot be read as a shortlist ({error!r})", "draw the samples first") from error


def _image_path(out: Path, index: int) -> Path:
    return out / IMAGES / f"{sample_name(index)}.png"


def _part_path(out: Path, index: int) -> Path:
    return out / PARTS / f"{sample_name(index)}.json"


def _is_drawn(out: Path, index: int) -> bool:
    """Whether the image is there, and a part that can be read: another is drawn again."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        _part(out, index)
        return _image_path(out, index).exists()
    return False


def _keep(drawn: Drawn, out: Path) -> None:
    write_png(_image_path(out, drawn.row.index), drawn.image)
    part = {"row": drawn.row.to_json(), "z": drawn.z.astype("<f4").tobytes().hex(), "w": drawn.w.astype("<f4").tobytes().hex()}
    write_json(_part_path(out, drawn.row.index), part)


def _part(out: Path, index: int) -> tuple[SampleRow, np.ndarray, np.ndarray]:
    part = json.loads(_part_path(out, index).read_text(encoding="utf-8"))
    z, w = (np.frombuffer(bytes.fromhex(part[key]), dtype="<f4") for key in ("z", "w"))
    return SampleRow(**part["row"]), z, w


def _show(out: Path, config: SamplesConfig, seed: int, progress: Progress) -> None:
    """Writes the contact sheet, the shortlist and its sheet; with the shortlist what is drawn at random beside it, on a sheet of its own."""
    descriptors = []
    progress.start("compare samples", total=config.num)
    for index in range(config.num):
        descriptors.append(describe(read_image(_image_path(out, index))))
        progress.advance()
    progress.finish()
    listed = choose(np.stack(descriptors), num=config.shortlist)
    random = draw_random(config.num, beside=listed.chosen, num=config.random, seed=seed)
    write_json(out / SHORTLIST, _shortlist_json(listed, random))
    for name, indices in ((SHEET, range(config.num)), (SHORTLIST_SHEET, listed.chosen), (RANDOM_SHEET, random)):
        shown = indices[:_SHEET_IMAGES]
        if shown:
            pictures = [scaled(read_image(_image_path(out, index)), least_px=_NAMED_PX, most_px=_THUMBNAIL_PX) for index in shown]
            write_png(out / name, named_sheet(pictures, [sample_name(index) for index in shown]))


def _shortlist_json(listed: Shortlist, random: Sequence[int]) -> dict[str, object]:
    rows = [{"name": sample_name(i), "stands_for": size} for i, size in zip(listed.chosen, listed.group_sizes, strict=True)]
    drawn = {"random": [sample_name(i) for i in random]} if random else {}  # without any, the file is what it always was
    return {"schema": 1, "method": "k-medoids of colour and texture", "samples": rows, **drawn}
