from __future__ import annotations

from types import SimpleNamespace

import pytest

from hdgan.annotations.suggestions import FILE
from hdgan.store.atomic import read_json
from tests.small_run import annotate_some

ANNOTATED = tuple(f"{i:06d}" for i in range(0, 16, 2))


@pytest.fixture
def opened(small_run, tmp_path, monkeypatch):
    """The small run with every other sample annotated, as if it had been opened by settings."""
    annotate_some(small_run, tmp_path, ANNOTATED)
    run = SimpleNamespace(
        device="cpu",
        stage=lambda name: tmp_path / name if (tmp_path / name).exists() else getattr(small_run, name),
        beside=lambda name: tmp_path / name,
    )
    monkeypatch.setattr("hdgan.pipeline.run.open_run", lambda _root: run)
    return tmp_path


def test_each_image_to_annotate_next_is_told_with_the_class_that_it_is_for(hdgan, opened):
    code, out, error = hdgan("suggest", opened, "--num", 3)
    assert code == 0, error
    lines = out.splitlines()
    assert lines[0] == "annotated images that show a class: dark 8, bright 8, never seen 0"
    folder = opened / "suggestions" / "round-01"
    rows = read_json(folder / FILE)["suggestions"]
    assert [line.split()[:2] for line in lines[2:5]] == [[row["name"], row["for"]] for row in rows]
    assert not {row["name"] for row in rows} & set(ANNOTATED)
    assert lines[5] == f"written: {folder}; begin with its pages, or correct {folder / 'outlines'} in QuPath"


def test_a_folder_that_is_no_run_is_one_line(refused, tmp_path):
    assert "holds no config.toml" in refused("suggest", tmp_path)
