from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import pytest

from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.suggestions import FILE, suggested_names
from hdgan.errors import BadInput, Busy, DamagedArtifact
from hdgan.pipeline import suggest as module
from hdgan.pipeline.steps import SUGGESTIONS
from hdgan.pipeline.suggest import LOOKED_AT, OUTLINES, TABLE, suggest
from hdgan.store.atomic import read_image, read_json
from hdgan.store.bank import SampleBank
from hdgan.store.stage import LOCK, holding, manifest_hash
from tests.small_run import CLASSES, annotate_some

ANNOTATED = tuple(f"{i:06d}" for i in range(8))


@pytest.fixture
def run(small_run, tmp_path):
    """The small run with half of its samples annotated."""
    annotate_some(small_run, tmp_path, ANNOTATED)
    return SimpleNamespace(
        device="cpu",
        stage=lambda name: tmp_path / name if (tmp_path / name).exists() else getattr(small_run, name),
        beside=lambda name: tmp_path / name,
    )


def test_images_that_nobody_annotated_are_suggested_with_a_table_pages_and_outlines(run):
    found = suggest(run, num=5)
    names = [one.candidate.name for one in found.chosen]
    assert len(set(names)) == 5
    assert not set(names) & set(ANNOTATED)
    assert found.shown_by == (8, 8, 0)
    table = list(csv.DictReader((found.folder / TABLE).read_text().splitlines()))
    assert [row["name"] for row in table] == names
    assert {row["for"] for row in table} <= set(CLASSES.names[:2])
    assert all(abs(sum(float(row[f"share: {name}"]) for name in CLASSES.names) - 1) < 1e-9 for row in table)
    assert [row["name"] for row in read_json(found.folder / FILE)["suggestions"]] == names
    assert len(list(found.folder.glob("page-*.png"))) == 2
    assert read_image(found.folder / "page-01.png").shape[1] > 3 * 384
    outlines = json.loads((found.folder / OUTLINES / f"{names[0]}.geojson").read_text())
    assert outlines["features"][0]["properties"]["metadata"]["annotator"] == "predicted, learnt from painted rule"
    assert not (run.beside(SUGGESTIONS) / LOOKED_AT).exists()


def test_the_same_state_gives_the_same_round_which_grows_and_never_shrinks(run):
    first = suggest(run, num=3)
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    assert suggest(run, num=2).chosen == first.chosen
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == before
    corrected = first.folder / OUTLINES / f"{first.chosen[0].candidate.name}.geojson"
    corrected.write_text("drawn by a person")
    longer = suggest(run, num=6)
    assert corrected.read_text() == "drawn by a person"
    assert longer.folder == first.folder
    assert longer.chosen[:3] == first.chosen


def test_what_was_labelled_before_an_interruption_is_not_labelled_again(run, monkeypatch):
    looked, label = [], module.label_image

    def interrupted(*asked, **named):
        if len(looked) == 5:
            raise KeyboardInterrupt
        looked.append(asked)
        return label(*asked, **named)

    monkeypatch.setattr(module, "label_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        suggest(run, num=3)
    monkeypatch.setattr(module, "label_image", lambda *asked, **named: (looked.append(asked), label(*asked, **named))[1])
    found = suggest(run, num=3)
    assert len(looked) == 8 + 3  # each once, and those that are drawn
    monkeypatch.setattr(module, "label_image", label)
    assert suggest(run, num=3).chosen == found.chosen


def test_suggested_images_only_train_and_move_no_other_image(run, small_run, tmp_path):
    before = AnnotationSet(run.stage("annotations")).split
    found = suggest(run, num=3)
    names = [one.candidate.name for one in found.chosen]
    known = suggested_names(run.beside(SUGGESTIONS), samples=manifest_hash(small_run.samples))
    assert known == set(names)
    annotate_some(small_run, tmp_path, (*ANNOTATED, *names), redo=True, suggested=known)
    after = AnnotationSet(run.stage("annotations")).split
    assert after == before | {"train": tuple(sorted([*before["train"], *names]))}
    assert {row.name for row in AnnotationSet(run.stage("annotations")).rows if row.is_suggested} == set(names)
    second = suggest(run, num=2)
    assert second.folder.name == "round-02"
    assert not {one.candidate.name for one in second.chosen} & {*ANNOTATED, *names}


def test_without_an_image_left_and_beside_another_process_nothing_is_suggested(run, small_run, tmp_path):
    run.beside(SUGGESTIONS).mkdir()
    with holding(run.beside(SUGGESTIONS) / LOCK), pytest.raises(Busy):
        suggest(run, num=2)
    annotate_some(small_run, tmp_path, [row.name for row in SampleBank(small_run.samples).rows], redo=True)
    with pytest.raises(BadInput, match="every sample is annotated"):
        suggest(run, num=2)


def test_a_damaged_round_is_refused_before_any_work(run, monkeypatch):
    found = suggest(run, num=2)
    (found.folder / FILE).write_text("{")
    monkeypatch.setattr(module, "label_image", None)
    with pytest.raises(DamagedArtifact, match="remove its folder"):
        suggest(run, num=2)
