"""The features stage: what the generator computed while it drew each annotated image."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from hdgan.annotations.reader import AnnotationSet
from hdgan.errors import BadInput
from hdgan.features.bank import write_index, write_maps
from hdgan.features.colour import WithImage
from hdgan.features.config import FeaturesConfig
from hdgan.generator.protocol import LatentGenerator, to_uint8
from hdgan.generator.weights import FILE, load_generator
from hdgan.progress import SILENT, Progress, track
from hdgan.samples.recheck import recheck
from hdgan.store.atomic import read_json, write_json
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array
from hdgan.store.stage import Manifest, manifest_hash, open_stage

_PARTS = "parts"


def run_features(
    config: FeaturesConfig,
    *,
    generator: Path,
    samples: Path,
    annotations: Path,
    out: Path,
    seed: int,
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Writes the tapped maps of every annotated image; images done before an interruption are not done again.

    Raises:
        BadInput: an image is no longer what its latent and this generator give, or what was annotated.
    """
    inputs = {"generator": manifest_hash(generator), "samples": manifest_hash(samples), "annotations": manifest_hash(annotations)}
    with open_stage(out, stage="features", config=config.model_dump(mode="json"), seed=seed, inputs=inputs, redo=redo) as stage:
        if stage.manifest is not None:
            return stage.manifest
        trained = load_generator(generator / FILE)
        network: LatentGenerator = WithImage(trained) if config.image else trained
        bank, annotated = SampleBank(samples), AnnotationSet(annotations)
        found = {}
        for name in track(annotated.names, total=len(annotated), label="extracting features", progress=progress):
            found[name] = _done(out, name) or extract(network, bank, annotated, name, config=config, out=out)
        write_index(
            out,
            taps=network.taps(config.num_blocks),
            hashes={name: part["hash"] for name, part in found.items()},
            verdicts={name: part["recheck"] for name, part in found.items()},
            resolution=bank.resolution,
            mpp=bank.mpp,
            num_blocks=config.num_blocks,
            generator_hash=network.content_hash,
        )
        outcomes = Counter(part["recheck"]["outcome"] for part in found.values())
        channels = sum(tap.channels for tap in network.taps(config.num_blocks))
        manifest = stage.seal(counts={"images": len(found), "channels": channels, "recheck": dict(outcomes)}, keep_out=(_PARTS,))
        shutil.rmtree(out / _PARTS, ignore_errors=True)
        return manifest


def extract(
    network: LatentGenerator, bank: SampleBank, annotated: AnnotationSet, name: str, *, config: FeaturesConfig, out: Path
) -> dict[str, Any]:
    """Writes the maps of one annotated image after rendering it again; the file's hash and the verdict of the comparison.

    Raises:
        BadInput: image, latent, generator or annotation do not belong together.
    """
    row = bank.by_name(name)
    if annotated.row(name).image_hash != hash_array(bank.image(row.index)):
        raise BadInput(annotated.folder, f"the mask of {name} was drawn on another picture", "annotate the present one")
    w = torch.from_numpy(bank.latent(row.index)).unsqueeze(0)
    with torch.no_grad():
        image, maps = network.render_taps(w, num_blocks=config.num_blocks)
    if not bool(torch.isfinite(image).all()):
        raise BadInput(
            f"sample {name}", "its image has pixels that are not finite", "the generator's weights are broken: use an earlier snapshot"
        )
    verdict = recheck(network, bank, row.index, rendered=to_uint8(image)[0])
    if not verdict.is_usable:
        raise BadInput(bank.folder, f"{name} is not what its latent gives: {verdict.reason}", "draw the samples again with --redo")
    compared = {"outcome": verdict.outcome, "share_changed": verdict.share_changed, "worst_level": verdict.worst_level}
    part = {"hash": write_maps(out, name, [m[0] for m in maps], dtype=config.dtype), "recheck": compared}
    write_json(_note(out, name), part)
    return part


def _note(out: Path, name: str) -> Path:
    """Written after an image's maps: says to a resumed run that the image is done."""
    return out / _PARTS / f"{name}.json"


def _done(out: Path, name: str) -> dict[str, Any] | None:
    path = _note(out, name)
    return read_json(path) if path.exists() else None
