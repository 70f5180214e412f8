"""The features stage: what the generator computed while it drew each annotated image."""

from __future__ import annotations

from pathlib import Path

import torch

from hdgan.annotations.reader import AnnotationSet
from hdgan.errors import BadInput
from hdgan.features.bank import MAPS, write_index, write_maps
from hdgan.features.config import FeaturesConfig
from hdgan.generator.protocol import LatentGenerator
from hdgan.generator.weights import FILE, load_generator
from hdgan.progress import SILENT, Progress, track
from hdgan.samples.recheck import recheck
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array, hash_file
from hdgan.store.stage import Manifest, manifest_hash, open_stage


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
        network = load_generator(generator / FILE)
        bank, annotated = SampleBank(samples), AnnotationSet(annotations)
        hashes = {}
        for name in track(annotated.names, total=len(annotated), label="extracting features", progress=progress):
            path = out / MAPS / f"{name}.npy"
            hashes[name] = hash_file(path) if path.exists() else extract(network, bank, annotated, name, config=config, out=out)
        taps = network.taps(config.num_blocks)
        facts = {"resolution": bank.resolution, "mpp": bank.mpp, "num_blocks": config.num_blocks, "generator_hash": network.content_hash}
        write_index(out, taps=taps, hashes=hashes, **facts)  # type: ignore[arg-type]
        return stage.seal(counts={"images": len(hashes), "channels": sum(tap.channels for tap in taps)})


def extract(network: LatentGenerator, bank: SampleBank, annotated: AnnotationSet, name: str, *, config: FeaturesConfig, out: Path) -> str:
    """Writes the maps of one annotated image after rendering it again; the file's hash.

    Raises:
        BadInput: image, latent, generator or annotation do not belong together.
    """
    row = bank.by_name(name)
    if annotated.row(name).image_hash != hash_array(bank.image(row.index)):
        raise BadInput(annotated.folder, f"the mask of {name} was drawn on another picture", "annotate the present one")
    verdict = recheck(network, bank, row.index)
    if not verdict.is_usable:
        raise BadInput(bank.folder, f"{name} is not what its latent gives: {verdict.reason}", "draw the samples again with --redo")
    w = torch.from_numpy(bank.latent(row.index)).unsqueeze(0)
    _, maps = network.render_taps(w, num_blocks=config.num_blocks)
    return write_maps(out, name, [m[0] for m in maps], dtype=config.dtype)
