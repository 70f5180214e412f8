from __future__ import annotations

from pathlib import Path

import pytest

from hdgan.pipeline import shipped
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.settings_file import read_settings
from hdgan.store.pairs import PairFolder

SETTINGS = """
[run]
name = "demo"
[tiles]
slides = ["none"]
mpp = 2.0
tile_px = 32
[generator]
resolution = 32
[annotations]
train = 8
validate = 2
test = 6
class_map = "classes.json"
[features]
num_blocks = 3
[classifier]
hidden = [16, 8]
members = 2
epochs = 2
pixels_per_image = 200
[evaluation]
controls = ["filters"]
resamples = 20
[dataset]
num = 5
"""


@pytest.fixture
def demo(small_run, tmp_path, monkeypatch, hdgan):
    """`hdgan demo` on a small package; gives exit code, standard output, standard error."""
    folder = tmp_path / "shipped"
    shipped.pack(generator=small_run.generator, samples=small_run.samples, annotations=small_run.annotations, out=folder)
    (folder / "demo.toml").write_text(SETTINGS)
    monkeypatch.setattr(shipped, "shipped_folder", lambda: folder)

    return lambda: hdgan("demo", "--out", tmp_path / "demo")


def test_the_demo_ends_with_a_report_a_dataset_and_pictures_that_exist(demo, tmp_path):
    code, out, error = demo()
    assert code == 0, error
    named = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert {name.rsplit("/", 1)[-1] for name in named} == {"report.html", "panels.png", "contact_sheet.png", "preview.png"}
    for name in named:
        assert (tmp_path / "demo" / name.split("/demo/", 1)[1]).stat().st_size > 500
    assert len(PairFolder(tmp_path / "demo" / "8-dataset")) == 5


def test_a_second_demo_finds_everything_done(demo):
    assert demo()[0] == 0
    code, out, _ = demo()
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[:4]] == ["current"] * 4


def test_other_verbs_go_on_from_a_demo(demo, hdgan, tmp_path):
    assert demo()[0] == 0
    for verb in ("extract", "fit", "evaluate", "synthesize"):
        code, out, error = hdgan(verb, tmp_path / "demo")
        assert code == 0, error
        assert "nothing to do" in out
    assert hdgan("verify", tmp_path / "demo")[0] == 0


def test_the_settings_that_ship_name_the_classes_that_ship():
    folder = shipped.shipped_folder()
    assert read_settings(folder / shipped.SETTINGS, RunConfig).annotations.class_map == Path(shipped.CLASSES)
