from __future__ import annotations

from pathlib import Path

import pytest

from hdgan.pipeline import oracle
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.oracle import oracle_masks
from hdgan.pipeline.settings_file import parse_settings
from hdgan.pipeline.steps import Run
from hdgan.progress import SILENT
from hdgan.store.atomic import write_json
from hdgan.store.layout import RunFolder
from hdgan.store.stage import manifest_hash, open_stage


@pytest.fixture
def drawn(monkeypatch):
    """The names that an oracle, which needs no training here, is asked to draw."""
    names = []
    monkeypatch.setattr(oracle, "real_pairs", lambda run, **_: run.folder.root)
    monkeypatch.setattr(oracle, "run_oracle", lambda *_, **__: None)
    monkeypatch.setattr(oracle, "run_masks", lambda **asked: names.append(asked["names"]))
    return names


def opened(root: Path, *, random_test: int) -> Run:
    sections = {
        "run": {"name": "x"},
        "tiles": {"slides": ["s.tif"], "mpp": 2.0, "tile_px": 64},
        "samples": {"num": 20, "shortlist": 5, "random": 3},
        "annotations": {"train": 2, "validate": 1, "test": 1, "random_test": random_test},
        "oracle": {},
        "real": {"pairs": "pairs"},
    }
    run = Run(parse_settings(sections, RunConfig, where="settings.toml"), RunFolder(root), root)
    with open_stage(run.beside("oracle"), stage="oracle", config={}, seed=0, inputs={}) as stage:
        stage.seal(counts={})
    with open_stage(run.stage("samples"), stage="samples", config={}, seed=0, inputs={}) as stage:
        rows = [{"name": f"{i:06d}", "stands_for": 4} for i in (9, 1, 4, 0, 7)]
        write_json(stage.path / "shortlist.json", {"schema": 1, "samples": rows, "random": ["000012", "000003", "000018"]})
        stage.seal(counts={})
    return run


@pytest.mark.parametrize(("random_test", "more"), [(0, ()), (2, ("000012", "000003"))])
def test_an_oracle_draws_the_images_of_the_split_and_those_of_the_random_part(tmp_path, drawn, random_test, more):
    oracle_masks(opened(tmp_path, random_test=random_test), redo=False, progress=SILENT)
    assert drawn == [("000009", "000001", "000004", "000000", *more)]


def test_an_oracle_draws_what_was_suggested_since(tmp_path, drawn):
    run = opened(tmp_path, random_test=0)
    rows = [{"name": name, "for": "artery"} for name in ("000011", "000004")]
    inputs = {"samples": manifest_hash(run.stage("samples"))}
    write_json(run.beside("suggestions") / "round-01" / "suggestions.json", {"schema": 1, "inputs": inputs, "suggestions": rows})
    oracle_masks(run, redo=False, progress=SILENT)
    assert drawn == [("000009", "000001", "000004", "000000", "000011")]


def test_masks_that_are_all_there_are_not_drawn_again_and_a_lost_one_is(tmp_path, drawn):
    run = opened(tmp_path, random_test=0)
    masks = oracle_masks(run, redo=False, progress=SILENT)
    masks.mkdir(parents=True)
    for name in drawn[0]:
        (masks / f"{name}.png").write_bytes(b"")
    oracle_masks(run, redo=False, progress=SILENT)
    assert len(drawn) == 1
    (masks / "000004.png").unlink()
    oracle_masks(run, redo=False, progress=SILENT)
    assert len(drawn) == 2
