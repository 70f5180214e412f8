"""The features stage: what the generator computed while it drew each annotated image, kept where the plan says."""

from __future__ import annotations

import functools
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.annotations.reader import AnnotationSet
from hdgan.features import moments
from hdgan.features.bank import Facts, ImageFacts, write_index
from hdgan.features.colour import WithImage
from hdgan.features.config import FeaturesConfig, Source
from hdgan.features.planner import Choice
from hdgan.features.redraw import draw_checked
from hdgan.features.sources import write_maps
from hdgan.generator.protocol import LatentGenerator
from hdgan.generator.weights import FILE, TrainedGenerator, load_generator
from hdgan.progress import SILENT, Progress, track
from hdgan.store.atomic import read_json, write_json
from hdgan.store.bank import SampleBank
from hdgan.store.stage import Manifest, manifest_hash, open_stage
from hdgan.training.memory import trim

_PARTS = "parts"
_CHOICE = "source"


def run_features(
    config: FeaturesConfig,
    *,
    generator: Path,
    samples: Path,
    annotations: Path,
    out: Path,
    seed: int,
    plan: Callable[[], Choice] | None = None,
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Checks every annotated image against its latent and keeps its features; images done before an interruption are not done again.

    `plan` is asked for the source when there is something to do. Without it that is `native` where the settings say `auto`.

    Raises:
        BadInput: an image is no longer what its latent and this generator give, or what was annotated.
    """
    inputs = {"generator": manifest_hash(generator), "samples": manifest_hash(samples), "annotations": manifest_hash(annotations)}
    find = functools.partial(_trained, generator / FILE, num_blocks=config.num_blocks)
    with open_stage(out, stage="features", config=config.recorded(), seed=seed, inputs=inputs, redo=redo, before_clearing=find) as stage:
        if stage.manifest is not None:
            return stage.manifest
        trained = find()
        choice = None if plan is None else plan()
        source = choice.source if choice else "native" if config.source == "auto" else config.source
        source = _begun_with(out, source)
        counts = fill_features(trained, SampleBank(samples), AnnotationSet(annotations), config, source=source, out=out, progress=progress)
        manifest = stage.seal(counts=counts, keep_out=(_PARTS,), also={"plan": asdict(choice)} if choice else {})
        shutil.rmtree(out / _PARTS, ignore_errors=True)
        del trained
        trim()
        return manifest


def fill_features(
    generator: LatentGenerator,
    bank: SampleBank,
    annotated: AnnotationSet,
    config: FeaturesConfig,
    *,
    source: Source,
    out: Path,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """The counts of the features that are then in `out`, from wherever an earlier call was stopped; of any generator.

    Raises:
        BadInput: an image is no longer what its latent and this generator give, or what was annotated.
        OutOfSpace: the disk is full; what was done before stays and is used again.
    """
    network: LatentGenerator = WithImage(generator) if config.image else generator
    found = {}
    for name in track(annotated.names, total=len(annotated), label="extracting features", progress=progress):
        found[name] = _done(out, name) or extract(network, bank, annotated, name, config=config, source=source, out=out)
    facts = Facts(
        source=source,
        dtype=config.dtype,
        taps=network.taps(config.num_blocks),
        resolution=bank.resolution,
        mpp=bank.mpp,
        num_blocks=config.num_blocks,
        generator_hash=network.content_hash,
    )
    measured = {name: np.frombuffer(bytes.fromhex(part.pop("moments")), dtype="<f8").reshape(-1, 2) for name, part in found.items()}
    write_index(out, facts, {name: ImageFacts(**part) for name, part in found.items()}, found=measured)
    outcomes = Counter(part["recheck"]["outcome"] for part in found.values())
    return {"images": len(found), "channels": facts.num_channels, "source": source, "recheck": dict(outcomes)}


def _trained(path: Path, *, num_blocks: int) -> TrainedGenerator:
    """The generator in the file `path`, which has that many blocks."""
    trained = load_generator(path)
    trained.taps(num_blocks)
    trim()
    return trained


def extract(
    network: LatentGenerator,
    bank: SampleBank,
    annotated: AnnotationSet,
    name: str,
    *,
    config: FeaturesConfig,
    source: Source,
    out: Path,
) -> dict[str, Any]:
    """What is known of one annotated image after drawing it again, its maps stored if `source` stores any.

    Raises:
        BadInput: image, latent, generator or annotation do not belong together.
    """
    image_hash = annotated.row(name).image_hash
    verdict, maps = draw_checked(network, bank, name, annotated_hash=image_hash, num_blocks=config.num_blocks, dtype=config.dtype)
    measured = moments.of_image(maps, size=bank.resolution).numpy().astype("<f8")
    part = {
        "image_hash": image_hash,
        "recheck": {"outcome": verdict.outcome, "share_changed": verdict.share_changed, "worst_level": verdict.worst_level},
        "checksums": write_maps(out, name, maps, source=source, size=bank.resolution),
        "moments": measured.tobytes().hex(),
    }
    write_json(_note(out, name), part)
    del maps
    trim()
    return part


def _begun_with(out: Path, wanted: Source) -> Source:
    """The source of an extraction that was interrupted, else `wanted`, noted: a plan may find other room the second time."""
    path = out / _PARTS / _CHOICE
    if not path.exists():
        write_json(path, {"source": wanted})
    found: Source = read_json(path)["source"]
    return found


def _note(out: Path, name: str) -> Path:
    """Written after an image's maps: says to a resumed run that the image is done."""
    return out / _PARTS / f"{name}.json"


def _done(out: Path, name: str) -> dict[str, Any] | None:
    path = _note(out, name)
    return read_json(path) if path.exists() else None
