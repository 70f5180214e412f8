from __future__ import annotations

import os

import pytest

from hdgan.store.stage import read_manifest
from hdgan.testing.cohort import paint_cohort

from .scripts import FOLDER, loaded, printed

RECIPE = """
[run]
name = "toy"
[tiles]
slides = ["slides.csv"]
mpp = 8.0
tile_px = 16
max_background = 0.97
num_folds = 2
[generator]
resolution = 16
channel_base = 128
channel_max = 8
augment = "tissue-blit"
quality_images = 24
"""


@pytest.fixture
def recipe(tmp_path):
    """A recipe of two painted slides."""
    paint_cohort(tmp_path, num_patients=2, size_px=96, mpp=4.0, stains=("pas",), seed=1)
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    return path


def test_every_choice_changes_what_it_names_and_a_finished_one_is_not_trained_again(recipe, tmp_path):
    toy = ("--recipe", recipe, "--kimg", 0.064, "--out", tmp_path / "out", "--choices")
    first = printed("generator/choices.py", *toy, "recipe", "gamma 0.4")
    again = printed("generator/choices.py", *toy, "gamma 0.4", "another seed")
    assert [line.split("|")[1].strip() for line in (*first[2:], *again[2:])] == ["recipe", "gamma 0.4", "gamma 0.4", "another seed"]
    assert again[2] == first[3]
    assert len({line.split("|", 2)[2] for line in (*first[2:], again[3])}) == 3
    found = {name: read_manifest(tmp_path / "out" / name / "2-generator") for name in ("recipe", "gamma-0.4", "another-seed")}
    assert [manifest.config["gamma"] for manifest in found.values()] == [None, 0.4, None]
    assert [manifest.seed for manifest in found.values()] == [0, 0, 2]
    assert all(manifest.config["kimg"] == 0.064 for manifest in found.values())


def test_the_recipe_itself_takes_every_choice(monkeypatch, tmp_path):
    from hdgan.pipeline.run import open_run

    monkeypatch.setitem(os.environ, "HDGAN_DATA", str(tmp_path))
    run = open_run(tmp_path / "run", config=FOLDER.parent / "recipes" / "kidney_pas.toml")
    for sections in loaded("generator/choices.py").CHOICES.values():
        changed = run
        for section, fields in sections.items():
            changed = changed.changed(section, **fields)
        assert (changed.config == run.config) == (not sections)


def test_a_setting_that_a_section_has_not_is_no_change_that_goes_unseen(recipe, tmp_path):
    from hdgan.pipeline.run import open_run

    with pytest.raises(AssertionError, match=r"\[tiles\] has no mpp"):
        open_run(tmp_path / "run", config=recipe).changed("tiles", mpp=4.0)
