"""What `downstream` lends to the stages before it: an oracle's masks, and the U-Net control of the evaluation.

Neither `annotations` nor `evaluation` knows of segmenters; here their folders are put side by side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import class_map_of
from hdgan.downstream.fit import HeldPairs, fit_segmenter
from hdgan.downstream.oracle import run_masks, run_oracle
from hdgan.downstream.segmenter import FILE, Segmenter, load_segmenter, save_segmenter
from hdgan.downstream.sets import PairSets, run_real
from hdgan.errors import BadConfig
from hdgan.pipeline.steps import CONTROL, ORACLE, ORACLE_MASKS, REAL, Run, suggested
from hdgan.progress import Progress
from hdgan.samples.stage import read_random, read_shortlist
from hdgan.store.atomic import read_json, write_json
from hdgan.store.bank import SampleBank
from hdgan.store.stage import manifest_hash, open_stage

_NOTE = "made-from.json"


def real_pairs(run: Run, *, redo: bool, progress: Progress) -> Path:
    """The folder of named sets of labelled pairs that no generator made; cut from the slide where they are not given.

    Raises:
        BadConfig: the settings name none.
        BadInput: they cannot be read.
    """
    real = run.config.real
    if real is None:
        raise BadConfig("real", "no labelled pairs are given", "add a section [real]")
    if real.pairs is not None:
        return PairSets(run.path(real.pairs)).folder
    assert real.slide is not None
    assert real.cut is not None
    run_real(
        real.cut,
        slide=run.path(real.slide),
        regions={name: run.path(path) for name, path in real.regions.items()},
        classes=class_map_of(run.annotations()),
        out=run.beside(REAL),
        slide_mpp=real.slide_mpp,
        redo=redo,
        progress=progress,
    )
    return run.beside(REAL)


def oracle_masks(run: Run, *, redo: bool, progress: Progress) -> Path:
    """A folder with the oracle's mask of each shortlisted sample, of those drawn at random that are to be measured, and of those suggested since.

    It is one that `import-masks` reads; the oracle is trained first.
    """
    assert run.config.oracle is not None, "asked for without a section [oracle]"
    pairs = real_pairs(run, redo=redo, progress=progress)
    run_oracle(
        run.config.oracle, pairs=pairs, out=run.beside(ORACLE), seed=run.config.run.seed, device=run.device, redo=redo, progress=progress
    )
    settings, samples = run.config.annotations, run.stage("samples")
    names = read_shortlist(samples)[: sum(settings.sizes.values())]
    if settings.random_test:
        names += read_random(samples)[: settings.random_test]
    names += tuple(sorted(suggested(run) - set(names)))
    source = {"oracle": manifest_hash(run.beside(ORACLE)), "samples": manifest_hash(samples), "names": list(names)}
    out = run.beside(ORACLE_MASKS)
    is_whole = all((out / "masks" / f"{name}.png").exists() for name in names)
    if is_whole and (out / _NOTE).exists() and read_json(out / _NOTE) == source:
        return out / "masks"
    (out / _NOTE).unlink(missing_ok=True)
    for old in (out / "masks").glob("*.png"):
        old.unlink()
    run_masks(oracle=run.beside(ORACLE), samples=samples, names=names, out=out / "masks", progress=progress)
    write_json(out / _NOTE, source)
    return out / "masks"


def unet_control(run: Run, *, redo: bool, progress: Progress) -> Callable[[np.ndarray], np.ndarray]:
    """A U-Net trained on the annotated training images alone: image uint8 `[H, W, 3]` in, mask uint8 `[H, W]` out.

    The usual way, with the same few images; it stands beside the pixel classifiers in every table. It is trained at the
    first image, so that an evaluation that is current costs nothing.
    """

    @functools.cache
    def trained() -> Segmenter:
        return _train_control(run, redo=redo, progress=progress)

    return lambda image: trained().predict(image)


def _train_control(run: Run, *, redo: bool, progress: Progress) -> Segmenter:
    out, settings, seed = run.beside(CONTROL), run.config.control, run.config.run.seed
    samples, annotations = run.stage("samples"), run.stage("annotations")
    inputs = {"samples": manifest_hash(samples), "annotations": manifest_hash(annotations)}
    with open_stage(out, stage=CONTROL, config=settings.model_dump(mode="json"), seed=seed, inputs=inputs, redo=redo) as folder:
        if folder.manifest is None:
            bank, annotated = SampleBank(samples), AnnotationSet(annotations)
            names = annotated.split["train"]
            pairs = HeldPairs([bank.image(bank.by_name(name).index) for name in names], [annotated.mask(name) for name in names])
            segmenter = fit_segmenter(
                pairs,
                settings,
                classes=annotated.classes,
                mpp=bank.mpp,
                name="U-Net on the same images",
                seed=seed,
                device=run.device,
                state=out / "state",
                progress=progress,
            )
            save_segmenter(out / FILE, segmenter)
            folder.seal(counts={"images": len(names)}, keep_out=("state",))
    return load_segmenter(out / FILE)
