"""The stages of a run as steps: what each reads, and the one call that does it.

Nothing heavy is imported until a step works.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hdgan.annotations.config import AnnotationsConfig
from hdgan.errors import BadInput, StaleStage
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.standing import changed_settings, standings
from hdgan.progress import Progress
from hdgan.store.archive import TileArchive
from hdgan.store.layout import RunFolder
from hdgan.store.stage import MANIFEST, Manifest, begun_with, is_damaged, manifest_hash, read_manifest

ORACLE, REAL, CONTROL, ORACLE_MASKS, SUGGESTIONS = "oracle", "real", "control", "oracle-masks", "suggestions"
"""Folders of a run that belong to no stage."""


@dataclass(frozen=True)
class Run:
    """A run that was opened: its settings, its folder, and where relative paths of the settings begin."""

    config: RunConfig
    folder: RunFolder
    base: Path

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        return self.folder.folder(name)

    def beside(self, name: str) -> Path:
        """A folder of the run that belongs to no stage."""
        return self.folder.root / name

    def path(self, given: Path) -> Path:
        """A path of the settings, from where relative ones begin."""
        return self.base / given.expanduser()

    @property
    def device(self) -> str:
        """Where everything after the generator's training that gains by a GPU is done.

        Raises:
            BadConfig: a GPU was asked for and there is none.
        """
        from hdgan.training.devices import chosen_device

        return chosen_device(self.config.run.device, setting="run.device")

    def open_tiles(self) -> TileArchive:
        """The tiles of the run; those that are not stored are read from the slides."""
        from hdgan.tiles.live import open_tiles

        return open_tiles(self.stage("tiles"), self.config.tiles, base=self.base)

    def annotations(self) -> AnnotationsConfig:
        """`[annotations]` with its paths resolved and the oracle's name where it draws."""
        settings = self.config.drawn_annotations
        found = {
            name: self.path(path)
            for name in ("masks", "class_map", "class_mapping", "corrections")
            if (path := getattr(settings, name)) is not None
        }
        return settings.model_copy(update=found)

    def changed(self, section: str, **settings: object) -> Run:
        """The same run, with other values of some settings of a section."""
        if not settings:
            return self
        fields = getattr(self.config, section)
        unknown = settings.keys() - type(fields).model_fields.keys()  # a copy would take them, and nobody would ever read them
        assert not unknown, f"[{section}] has no {', '.join(sorted(unknown))}"
        changed = fields.model_copy(update=settings)
        return replace(self, config=self.config.model_copy(update={section: changed}))

    def with_masks(self, masks: Path) -> Run:
        """The same run, with masks from a folder instead of an oracle."""
        annotations = self.config.annotations.model_copy(update={"masks": masks.absolute()})
        return replace(self, config=self.config.model_copy(update={"annotations": annotations, "oracle": None}))

    def with_corrections(self, corrections: Path) -> Run:
        """The same run, with corrections of the masks from a folder."""
        return self.changed("annotations", corrections=corrections.absolute())


@dataclass(frozen=True)
class Step:
    """One stage of a run."""

    stage: str
    purpose: str
    reads: tuple[str, ...]
    work: Callable[[Run, bool, Progress], Manifest]

    def is_wanted(self, config: RunConfig) -> bool:
        """Whether the settings ask for it."""
        return getattr(config, self.stage) is not None

    def settings(self, config: RunConfig) -> dict[str, Any]:
        """Its section as plain data."""
        return config.recorded(self.stage)


def _tiles(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.tiles.stage import run_tiles

    return run_tiles(run.config.tiles, base=run.base, out=run.stage("tiles"), seed=run.config.run.seed, redo=redo, progress=progress)


def _generator(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.generator.stage import run_generator

    config = run.config.generator
    if config.init_from is not None:
        config = config.model_copy(update={"init_from": run.path(config.init_from)})
    return run_generator(
        config,
        tiles=run.stage("tiles"),
        out=run.stage("generator"),
        seed=run.config.run.seed,
        redo=redo,
        progress=progress,
        open_tiles=lambda _: run.open_tiles(),
    )


def _samples(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.samples.stage import run_samples

    return run_samples(
        run.config.samples,
        generator=run.stage("generator"),
        out=run.stage("samples"),
        seed=run.config.run.seed,
        device=run.device,
        redo=redo,
        progress=progress,
    )


def _annotations(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.annotations.stage import run_annotations
    from hdgan.pipeline.oracle import oracle_masks
    from hdgan.samples.stage import read_random

    given = run.config.annotations.masks
    if run.config.oracle is None and given is None:
        return _imported(run, progress)
    masks = oracle_masks(run, redo=redo, progress=progress).absolute() if given is None else run.path(given)
    return run_annotations(
        run.annotations(),
        samples=run.stage("samples"),
        masks=masks,
        at_random=read_random(run.stage("samples")) if run.config.annotations.random_test else (),
        suggested=suggested(run),
        out=run.stage("annotations"),
        seed=run.config.run.seed,
        redo=redo,
        progress=progress,
    )


def suggested(run: Run) -> frozenset[str]:
    """The samples that `hdgan suggest` ever named.

    Raises:
        DamagedArtifact: a round cannot be read.
    """
    from hdgan.annotations.suggestions import suggested_names

    folder = run.beside(SUGGESTIONS)
    return suggested_names(folder, samples=manifest_hash(run.stage("samples"))) if folder.exists() else frozenset()


def import_command(run: Run) -> str:
    """The command by which a person hands in masks, to be typed."""
    return f"hdgan import-masks {shlex.quote(str(run.folder.root))} FOLDER"


def import_again(run: Run, fields: Collection[str]) -> str:
    """What to do about masks that a person imported by hand where `fields` of the annotations are no longer those of the import."""
    command = f"{import_command(run)} --redo"
    if "inputs.samples" not in fields:
        return f"import the masks again: {command}"
    return f"what a person drew belongs to the images before: take the change back, or let the samples be drawn anew, annotate those, then: {command}"


def _imported(run: Run, progress: Progress) -> Manifest:
    """The masks that a person imported by hand, when they still belong to these samples.

    Raises:
        BadInput: nobody has annotated yet.
        StaleStage: they were drawn on other samples, or the settings or the files that these name changed; a redo cannot draw them again.
    """
    from hdgan.annotations.stage import changed_folder, changed_inputs

    out, samples, command = run.stage("annotations"), run.stage("samples"), import_command(run)
    if not (out / MANIFEST).exists():
        remedy = f"outline the images that {samples / 'shortlist.json'} names, then: {command}"
        raise BadInput(run.folder.root, "nobody has annotated the samples yet", remedy)
    wanted = {"annotations": run.config.recorded("annotations")}
    (found,) = standings(run.folder, configs=wanted, seed=run.config.run.seed)
    fields = [*found.fields, *changed_inputs(run.annotations(), samples=samples, out=out)]
    if fields:
        raise StaleStage(f"{out}: imported for others ({', '.join(fields)}); {import_again(run, fields)}")
    folder = changed_folder(run.annotations(), samples=samples, out=out)
    if folder is not None:
        progress.say(f"{folder} holds other masks than those that were imported from there; if they are to count: {command} --redo")
    return read_manifest(out)


def _features(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.features.stage import run_features
    from hdgan.pipeline.feature_plan import plan_features

    return run_features(
        run.config.features,
        generator=run.stage("generator"),
        samples=run.stage("samples"),
        annotations=run.stage("annotations"),
        plan=lambda: plan_features(run.config, root=run.folder.root).choice,
        out=run.stage("features"),
        seed=run.config.run.seed,
        redo=redo,
        progress=progress,
    )


def _classifier(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.classifier.stage import run_classifier
    from hdgan.pipeline.feature_plan import members_at_once

    return run_classifier(
        run.config.classifier,
        features=run.stage("features"),
        annotations=run.stage("annotations"),
        generator=run.stage("generator"),
        samples=run.stage("samples"),
        members_at_once=members_at_once(run.config, root=run.folder.root),
        out=run.stage("classifier"),
        seed=run.config.run.seed,
        redo=redo,
        progress=progress,
    )


def _evaluation(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.evaluation.stage import run_evaluation
    from hdgan.pipeline.oracle import unet_control

    wants_unet = "unet" in run.config.evaluation.controls
    changed = control_changes(run)
    if changed and not redo:
        raise StaleStage(
            f"{run.stage('evaluation')}: made from other settings or inputs ({', '.join(changed)}); add --redo to make it again"
        )
    is_to_mend = wants_unet and redo and is_damaged(run.beside(CONTROL))
    return run_evaluation(
        run.config.evaluation,
        **_inputs(run, "evaluation"),
        out=run.stage("evaluation"),
        seed=run.config.run.seed,
        extra_predictors={"unet": unet_control(run, redo=redo, progress=progress)} if wants_unet else {},
        redo=redo,
        is_afresh=bool(changed) or is_to_mend,
        progress=progress,
    )


def control_changes(run: Run) -> tuple[str, ...]:
    """The settings of the U-Net control that are not those it was trained with; it belongs to no stage, and its scores stand in the evaluation."""
    before = begun_with(run.beside(CONTROL)) if "unet" in run.config.evaluation.controls else None
    if before is None:
        return ()
    return tuple(f"control.{name}" for name in changed_settings(before["config"], run.config.control.model_dump(mode="json")))


def _dataset(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.dataset.stage import run_dataset

    return run_dataset(
        run.config.dataset,
        generator=run.stage("generator"),
        classifier=run.stage("classifier"),
        out=run.stage("dataset"),
        seed=run.config.run.seed,
        device=run.device,
        redo=redo,
        progress=progress,
    )


def _downstream(run: Run, redo: bool, progress: Progress) -> Manifest:
    from hdgan.downstream.stage import run_downstream
    from hdgan.pipeline.oracle import real_pairs
    from hdgan.pipeline.trained import leak_remarks

    assert run.config.downstream is not None, "the step is only wanted with its section"
    return run_downstream(
        run.config.downstream,
        dataset=run.stage("dataset"),
        real=real_pairs(run, redo=redo, progress=progress),
        out=run.stage("downstream"),
        seed=run.config.run.seed,
        device=run.device,
        remarks=leak_remarks(run, run.config.downstream.test_set),
        redo=redo,
        progress=progress,
    )


def _inputs(run: Run, stage: str) -> dict[str, Path]:
    """The folders that a stage reads, by the names that it calls them."""
    step = next(step for step in STEPS if step.stage == stage)
    return {name: run.stage(name) for name in step.reads}


STEPS: tuple[Step, ...] = (
    Step("tiles", "cut the slides", (), _tiles),
    Step("generator", "train the generator", ("tiles",), _generator),
    Step("samples", "draw images for annotation", ("generator",), _samples),
    Step("annotations", "check and split the masks", ("samples",), _annotations),
    Step("features", "check images against latents, keep feature maps", ("generator", "samples", "annotations"), _features),
    Step("classifier", "train the pixel classifiers", ("features", "annotations"), _classifier),
    Step("evaluation", "measure on held-out images", ("generator", "samples", "annotations", "features", "classifier"), _evaluation),
    Step("dataset", "write labelled pairs", ("generator", "classifier"), _dataset),
    Step("downstream", "train a segmenter on the pairs, test it on real images", ("dataset",), _downstream),
)
"""Every stage, in order."""
