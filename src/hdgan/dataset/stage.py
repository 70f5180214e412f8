"""The dataset stage: a generator and its pixel classifiers become a folder of labelled pairs, `8-dataset/`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from hdgan.dataset.candidates import Labeller
from hdgan.dataset.card import FILE, Origin, card
from hdgan.dataset.config import DatasetConfig
from hdgan.dataset.write import Screened, fill_folder
from hdgan.plots.colours import coloured
from hdgan.plots.sheets import contact_sheet
from hdgan.progress import SILENT, Progress
from hdgan.store.atomic import write_png, write_text
from hdgan.store.pairs import PairFolder
from hdgan.store.stage import Manifest, manifest_hash, open_stage

STAGE = "dataset"
PREVIEW = "preview.png"

_PREVIEW_PAIRS = 16
_PREVIEW_EDGE_PX = 256


def run_dataset(
    config: DatasetConfig,
    *,
    generator: Path,
    classifier: Path,
    out: Path,
    seed: int,
    device: str = "cpu",
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """The manifest of the labelled pairs in `out`, drawn by the generator and labelled by the classifier in these stage folders.

    Raises:
        BadInput: a stage has not been run, or the two do not belong together.
        StaleStage: `out` holds pairs of other weights or settings, and `redo` is not set.
    """
    inputs = {"generator": manifest_hash(generator), "classifier": manifest_hash(classifier)}

    def load() -> tuple[Labeller, Origin]:
        from hdgan.dataset.labeller import load_labeller  # torch, only where there is something to draw

        return load_labeller(generator, classifier, psi=config.psi, condition=config.condition, refinement=config.refinement, device=device)

    return make_dataset(config, load, inputs=inputs, out=out, seed=seed, redo=redo, progress=progress)


def make_dataset(
    config: DatasetConfig,
    load: Callable[[], tuple[Labeller, Origin]],
    *,
    inputs: Mapping[str, str],
    out: Path,
    seed: int,
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """The manifest of the labelled pairs in `out`; `load` gives what draws them, and is called once and only when they are not there yet, before
    others are cleared for them.

    Raises:
        StaleStage: `out` holds pairs of other inputs or settings, and `redo` is not set.
    """
    settings, load = config.recorded(), functools.cache(load)
    with open_stage(out, stage=STAGE, config=settings, seed=seed, inputs=dict(inputs), redo=redo, before_clearing=load) as folder:
        if folder.manifest is not None:
            return folder.manifest
        label, origin = load()
        screened = fill_folder(label, config, out=out, seed=seed, progress=progress)
        size_px = _describe(config, label, origin, screened, out=out, seed=seed)
        return folder.seal(
            counts={
                "pairs": len(screened.pairs),
                "candidates": len(screened.pairs) + len(screened.dropped),
                "dropped": len(screened.dropped),
                "mpp": label.mpp,
                "size_px": size_px,
                "annotator": origin.annotator,
            }
        )


def _describe(config: DatasetConfig, label: Labeller, origin: Origin, screened: Screened, *, out: Path, seed: int) -> int:
    """Writes the card and the preview; the edge of the images, px."""
    folder = PairFolder(out)
    size_px = int(folder.mask(folder.stems[0]).shape[0])
    text = card(config, origin, screened, classes=label.classes, mpp=label.mpp, size_px=size_px, seed=seed)
    write_text(out / FILE, text)
    step = max(1, size_px // _PREVIEW_EDGE_PX)
    cells = []
    for stem in folder.stems[:_PREVIEW_PAIRS]:
        cells += [folder.image(stem)[::step, ::step], coloured(folder.mask(stem), label.classes)[::step, ::step]]
    write_png(out / PREVIEW, contact_sheet(cells, columns=8))
    return size_px
