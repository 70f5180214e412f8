"""The annotations stage: drawings from a folder, checked, into `4-annotations/`.

Everything is checked before anything is written. What a person drew is also kept, byte for byte and under its content's name, in
`keep/history/`, which no redo clears.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hdgan.annotations.audit import Audit, presence
from hdgan.annotations.blends import FOLDER as BLENDS
from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.corrections import SIDECAR as CORRECTIONS_SIDECAR
from hdgan.annotations.corrections import CorrectionSource, collect_corrections, table, told
from hdgan.annotations.intake import CheckedMask, Reading, check_all, collect
from hdgan.annotations.reader import (
    ANNOTATIONS,
    CHANGES,
    CLASSES,
    CORRECTIONS,
    MASKS,
    PROPOSALS,
    SCHEMA,
    SPLIT,
    AnnotationRow,
    AnnotationSet,
)
from hdgan.annotations.redrawn import refuse_redrawn
from hdgan.annotations.regions import ClassNames, read_mapping
from hdgan.annotations.smoothed import smoothing_note
from hdgan.annotations.split import split_names
from hdgan.errors import BadConfig, BadInput
from hdgan.labels import IGNORE, KIDNEY, ClassMap, read_class_map
from hdgan.progress import SILENT, Progress
from hdgan.store.atomic import read_json, write_bytes, write_json, write_png
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array, hash_file, hash_json
from hdgan.store.stage import KEEP, MANIFEST, PROVENANCE, Manifest, is_damaged, manifest_hash, open_stage, read_manifest, stage_changes

STAGE = "annotations"
AUDIT = "audit.json"
_FROM = "imported_from"
"""Key of the provenance: the folder that was imported, where it lay then."""
HISTORY = "history"
"""Below `keep/`: every drawing that was ever imported, `<sample>-<start of its sha256>`; marks of blends in a folder of their own."""


def run_annotations(
    config: AnnotationsConfig,
    *,
    samples: Path,
    out: Path,
    seed: int,
    masks: Path | None = None,
    at_random: Sequence[str] = (),
    suggested: Collection[str] = (),
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """The manifest of the annotations in `out`, imported for the bank in `samples` from `masks` (or the folder that `config` names).

    `at_random` are the samples of the bank that were drawn at random, of which the split's part "random" is made; those `suggested` by a model
    only train.

    Raises:
        BadConfig: no folder is given, or the background is no class.
        BadMask: a drawing or a correction does not fit, or is that of an image before the samples were drawn anew; nothing was written.
        StaleStage: `out` holds an import of other drawings or settings, and `redo` is not set.
    """
    classes, known = class_map_of(config), _sample_names(samples)
    source = collect(_masks_folder(config, masks, out), known=known, classes=classes)
    corrections = _corrections(config, out, proposed=tuple(source.drawings), known=known)
    reading = reading_of(config, classes)
    inputs = {
        "samples": manifest_hash(samples),
        "masks": source.content_hash,
        "class_map": hash_json(classes.to_json()),
        "class_mapping": hash_json(reading.names.mapping),
    }
    if corrections is not None:  # without any, an import is known by what it always was
        inputs["corrections"] = corrections.content_hash
    also = sorted(set(source.drawings) & set(suggested) - set(at_random))
    if also:
        inputs["suggested"] = hash_json(also)
    recorded = config.recorded()
    is_to_mend = redo and is_damaged(out)
    if not is_to_mend and stage_changes(out, stage=STAGE, config=recorded, seed=seed, inputs=inputs) == () and (out / MANIFEST).exists():
        return read_manifest(out)
    bank = SampleBank(samples)
    by = {"annotator": config.annotator, "corrector": config.corrector}
    checked = list(check_all(source, bank, reading=reading, corrections=corrections, progress=progress, **by))
    refuse_redrawn(checked, out=out, stated=source.image_hashes)
    pixels = {mask.name: mask.pixels for mask in checked}
    split = split_names(
        presence(pixels), sizes=config.sizes, seed=seed, at_random=at_random, num_random=config.random_test, only_train=also
    )
    audit = Audit(classes, split, pixels, {mask.name: mask.ignored for mask in checked})
    with open_stage(out, stage=STAGE, config=recorded, seed=seed, inputs=inputs, redo=redo) as folder:
        _write(folder.path, checked, audit, bank, suggested=also)
        _say(audit, checked, progress)
        counts: dict[str, int] = {"masks": len(checked)}
        counts.update((part, len(names)) for part, names in split.items())
        if corrections is not None:
            counts.update(_write_corrections(folder.path, checked, classes, progress))
        return folder.seal(counts=counts, keep_out=(KEEP,), also={_FROM: str(source.folder.absolute())})


def changed_inputs(config: AnnotationsConfig, *, samples: Path, out: Path) -> tuple[str, ...]:
    """What `config` names (classes, their mapping, masks, corrections) and is not what the annotations in `out` were made from.

    Masks and corrections that only a command named are not looked at.

    Raises:
        BadInput: something cannot be found, or does not fit.
    """
    made, classes, known = read_manifest(out).inputs, class_map_of(config), _sample_names(samples)
    now: dict[str, str | None] = {
        "class_map": hash_json(classes.to_json()),
        "class_mapping": hash_json(reading_of(config, classes).names.mapping),
    }
    if config.masks is not None:
        now["masks"] = collect(config.masks, known=known, classes=classes).content_hash
    if config.corrections is not None:
        found = _corrections(config, out, proposed=AnnotationSet(out).names, known=known)
        now["corrections"] = None if found is None else found.content_hash
    return tuple(f"inputs.{name}" for name in sorted(now) if made.get(name) != now[name])


def changed_folder(config: AnnotationsConfig, *, samples: Path, out: Path) -> Path | None:
    """The folder from which the annotations in `out` were imported, where it is still there and no longer holds what was imported."""
    told = read_json(out / PROVENANCE).get(_FROM)
    if told is None or not Path(told).is_dir():
        return None
    with suppress(BadInput):
        found = collect(Path(told), known=_sample_names(samples), classes=class_map_of(config))
        return None if found.content_hash == read_manifest(out).inputs["masks"] else Path(told)
    return Path(told)


def class_map_of(config: AnnotationsConfig) -> ClassMap:
    """The class map that `config` names, or the paper's."""
    return KIDNEY if config.class_map is None else read_class_map(config.class_map)


def reading_of(config: AnnotationsConfig, classes: ClassMap) -> Reading:
    """How `config` has drawings read.

    Raises:
        BadConfig: the background is no class.
    """
    if config.background is not None and config.background not in classes.names:
        raise BadConfig("annotations.background", f"no class {config.background!r}", f"known are {', '.join(classes.names)}")
    background = IGNORE if config.background is None else classes.index(config.background)
    mapping: dict[str, str | None] = {} if config.class_mapping is None else read_mapping(config.class_mapping)
    return Reading(ClassNames(classes, mapping), background, config.draw_order)


def _masks_folder(config: AnnotationsConfig, masks: Path | None, out: Path) -> Path:
    """The folder to read; never one that a redo would clear."""
    folder = masks or config.masks
    if folder is None:
        raise BadConfig("annotations.masks", "no folder of masks is given", "set it in the config, or import masks by the command")
    return _outside(folder, out)


def _corrections(config: AnnotationsConfig, out: Path, *, proposed: tuple[str, ...], known: tuple[str, ...]) -> CorrectionSource | None:
    if config.corrections is None:
        return None
    return collect_corrections(_outside(config.corrections, out), proposed=proposed, known=known)


def _outside(folder: Path, out: Path) -> Path:
    """The folder, unless a redo of the stage in `out` would clear it.

    Raises:
        BadInput: it would.
    """
    inside = folder.resolve().is_relative_to(out.resolve()) and not folder.resolve().is_relative_to((out / KEEP).resolve())
    if inside:
        raise BadInput(folder, "lies inside of the stage's own folder, which a redo clears", f"move it outside, or into {out / KEEP}")
    return folder


def _sample_names(samples: Path) -> tuple[str, ...]:
    read_manifest(samples)
    return tuple(row.name for row in SampleBank(samples).rows)


def _write(out: Path, checked: list[CheckedMask], audit: Audit, bank: SampleBank, *, suggested: Collection[str]) -> None:
    for mask in checked:
        _keep(out, mask.name, mask.source)
        write_bytes(out / MASKS / f"{mask.name}.png", mask.png)
        if mask.blend is not None and mask.blend_source is not None:
            _keep(out, mask.name, mask.blend_source, folder=BLENDS)
            write_png(out / BLENDS / f"{mask.name}.png", mask.blend)
    rows = [_row(mask, is_suggested=mask.name in suggested).to_json() for mask in checked]
    write_json(out / CLASSES, audit.classes.to_json())
    write_json(out / ANNOTATIONS, {"schema": SCHEMA, "mpp": bank.mpp, "resolution": bank.resolution, "annotations": rows})
    write_json(out / SPLIT, {part: list(names) for part, names in audit.split.items()})
    write_json(out / AUDIT, audit.to_json())


def _write_corrections(out: Path, checked: list[CheckedMask], classes: ClassMap, progress: Progress) -> dict[str, int]:
    """Writes proposals, corrections and what they changed, says it, and gives the counts for the manifest."""
    found = {mask.name: mask.correction for mask in checked if mask.correction is not None}
    notes = {}
    for mask in checked:
        if mask.correction is None:
            continue
        drawing, proposal = mask.correction.source, mask.correction.proposal
        _keep(out, mask.name, drawing)
        write_bytes(out / CORRECTIONS / drawing.name, drawing.read_bytes())
        write_png(out / PROPOSALS / f"{mask.name}.png", proposal)
        notes[mask.name] = {"image_hash": mask.image_hash, "annotator": mask.correction.corrector, "proposal_hash": hash_array(proposal)}
    write_json(out / CORRECTIONS / CORRECTIONS_SIDECAR, notes)
    changed = table(found, classes, not_looked_at={mask.name for mask in checked} - found.keys())
    write_json(out / CHANGES, changed)
    for line in told(changed):
        progress.say(line)
    return {"corrections": len(found), "changed_px": changed["totals"]["changed"]}


def _keep(out: Path, name: str, drawing: Path, *, folder: str = ".") -> None:
    """Keeps the bytes of what a person (or an oracle) drew of the sample called `name` where no redo clears them."""
    kept = out / KEEP / HISTORY / folder / f"{name}-{hash_file(drawing)[:16]}{drawing.name[len(name) :]}"
    if not kept.exists():
        write_bytes(kept, drawing.read_bytes())


def _row(mask: CheckedMask, *, is_suggested: bool) -> AnnotationRow:
    blend_hash = None if mask.blend is None else hash_array(mask.blend)
    found = mask.correction
    row = AnnotationRow(mask.name, mask.mask_hash, mask.image_hash, mask.annotator, blend_hash, is_suggested=is_suggested)
    return row if found is None else replace(row, proposer=found.proposer, proposal_hash=hash_array(found.proposal))


def _say(audit: Audit, checked: Sequence[CheckedMask], progress: Progress) -> None:
    smoothing = smoothing_note([mask.meetings for mask in checked if mask.meetings is not None])
    for line in [*audit.warnings(), *([] if smoothing is None else [smoothing])]:
        progress.say(line)
    beyond = len(audit.pixels) - sum(len(names) for names in audit.split.values())
    if beyond:
        progress.say(f"{beyond} more masks than the split asks for are in no part")
