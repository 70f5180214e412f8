from __future__ import annotations

import shutil
import sys

import pytest

from hdgan.cli import main as command
from hdgan.store.archive import TileArchive
from hdgan.store.atomic import read_json, write_json
from hdgan.store.layout import RunFolder
from hdgan.store.stage import open_stage, read_manifest

SETTINGS = (
    '[run]\nname = "small"\n[tiles]\nslides = ["painted/slides.csv"]\nmpp = 8.0\ntile_px = 64\nstride_px = 32\nmax_background = 0.9\n'
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with painted slides and settings beside them."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["hdgan", "paint", str(folder / "painted"), "--patients", "2", "--size", "256", "--mpp", "8", "--tile-px", "0"]
        )
        with pytest.raises(SystemExit) as end:
            command.main()
    assert not end.value.code
    (folder / "settings.toml").write_text(SETTINGS)
    return folder


def test_slides_are_painted_into_a_new_folder_only(place, hdgan):
    assert len(list((place / "painted" / "slides").glob("*.tif"))) == 2
    code, _, error = hdgan("paint", place / "painted")
    assert code == 2
    assert "is not empty; choose a new folder" in error


def test_each_slide_is_described_in_a_line(place, hdgan):
    code, out, _ = hdgan("inspect", place / "painted" / "slides.csv")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert all("256 x 256 px, 2.05 x 2.05 mm, 8 um/px" in line for line in out.splitlines())
    assert all("; tiles decoded directly (pixels equal to OpenSlide's at " in line for line in out.splitlines()), out


def test_good_slides_are_described_beside_a_bad_one(place, hdgan, tmp_path):
    (tmp_path / "broken.svs").write_bytes(b"nothing")
    code, out, error = hdgan("inspect", tmp_path / "broken.svs", place / "painted" / "slides.csv", tmp_path / "broken.svs")
    assert code == 2
    assert error.count("\n") == 1
    assert "broken.svs" in error


def test_tiles_are_cut_once_and_found_current_without_settings(place, hdgan, tmp_path):
    root = tmp_path / "run"
    code, out, error = hdgan("tile", root, "--config", place / "settings.toml")
    assert code == 0, error
    assert out.startswith("tiles: done in ")
    assert len(TileArchive(root / "1-tiles")) > 4
    code, out, _ = hdgan("tile", root)
    assert (code, out.split(":")[1].split(",")[0]) == (0, " current")


def test_another_scale_is_refused_until_redo_is_given(place, hdgan, tmp_path):
    root, other = tmp_path / "run", place / "other.toml"
    hdgan("tile", root, "--config", place / "settings.toml")
    other.write_text(SETTINGS.replace("mpp = 8.0", "mpp = 16.0"))
    code, _, error = hdgan("tile", root, "--config", other)
    assert code == 2
    assert "config.mpp" in error
    assert "--redo" in error
    assert hdgan("tile", root, "--redo")[0] == 0
    assert read_manifest(root / "1-tiles").config["mpp"] == 16.0


def test_verify_finds_a_changed_byte(place, hdgan, tmp_path):
    root = tmp_path / "run"
    hdgan("tile", root, "--config", place / "settings.toml")
    code, out, _ = hdgan("verify", root)
    assert code == 0
    assert "as written" in out
    archive = root / "1-tiles" / "tiles.zip"
    data = bytearray(archive.read_bytes())
    data[100] ^= 1
    archive.write_bytes(data)
    code, out, error = hdgan("verify", root)
    assert code == 2
    assert "tiles.zip: changed since it was written" in error
    assert "1 damaged" in out


def test_run_tells_of_each_stage_what_it_took_and_where_it_is(place, hdgan, tmp_path):
    code, out, error = hdgan("run", place / "settings.toml", "--out", tmp_path / "run", "--until", "tiles")
    assert code == 0
    assert out.split()[0] == "tiles"
    assert "[1/1] tiles: cut the slides" in error
    assert str(tmp_path / "run" / "1-tiles") in out


def test_a_plan_writes_nothing(place, hdgan, tmp_path):
    code, out, _ = hdgan("run", place / "settings.toml", "--out", tmp_path / "run", "--plan")
    assert code == 0
    assert "tiles  [absent]" in out
    assert "still to do" in out
    assert not (tmp_path / "run").exists()


def test_a_stage_whose_input_is_missing_is_one_line(place, hdgan, tmp_path):
    code, _, error = hdgan("sample", tmp_path / "run", "--config", place / "settings.toml")
    assert code == 2
    assert error.count("\n") == 1
    assert "this stage has not been finished; run it first" in error


@pytest.fixture
def drawn(small_run, tmp_path):
    """A run that has samples, and the settings that they were drawn with."""
    root, settings = tmp_path / "run", tmp_path / "settings.toml"
    root.mkdir()
    for stage in ("generator", "samples"):
        RunFolder(root).folder(stage).symlink_to(getattr(small_run, stage))
    samples = "[samples]\nnum = 16\npsi = 1.0\nshortlist = 4\n"
    masks = f'[annotations]\ntrain = 8\nvalidate = 2\ntest = 6\nannotator = "a rule"\nclass_map = "{small_run.masks / "classes.json"}"\n'
    settings.write_text(SETTINGS + samples + masks)
    return root, settings


def test_masks_of_no_sample_are_refused_and_nothing_is_written(drawn, hdgan, tmp_path):
    root, settings = drawn
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "999999.png").write_bytes(b"x")
    code, _, error = hdgan("import-masks", root, tmp_path / "masks", "--config", settings)
    assert code == 2
    assert "no sample is called '999999'" in error
    assert not (root / "4-annotations").exists()


def test_masks_are_imported_from_a_folder_and_stay_imported(drawn, small_run, hdgan):
    root, settings = drawn
    code, out, error = hdgan("import-masks", root, small_run.masks, "--config", settings)
    assert code == 0, error
    assert "imported (masks 16, test 6, train 8, validate 2)" in out
    code, out, error = hdgan("run", settings, "--out", root, "--first", "annotations", "--until", "annotations")
    assert code == 0, error
    assert "current" in out


@pytest.fixture
def corrections(tmp_path):
    """Two proposals that somebody looked at; one has a square of another class now."""
    ring = [[0, 0], [8, 0], [8, 8], [0, 8], [0, 0]]
    region = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"classification": "never seen"}}
    for name, features in (("000001", [region]), ("000002", [])):
        write_json(tmp_path / "corrections" / f"{name}.geojson", {"type": "FeatureCollection", "features": features})
    return tmp_path / "corrections"


def test_corrections_are_painted_over_masks_and_what_they_changed_is_printed(drawn, corrections, small_run, hdgan):
    root, settings = drawn
    code, out, error = hdgan("import-masks", root, small_run.masks, "--config", settings, "--corrections", corrections)
    assert code == 0, error
    assert "000001: 64 px changed (6.2 %) by unnamed: " in error
    assert "000002: 0 px changed (0.0 %) by unnamed" in error
    assert "corrections: 64 of 2,048 px changed (3.1 %), in 1 of 2 images that were looked at: " in error
    assert "imported (changed_px 64, corrections 2, masks 16, test 6, train 8, validate 2)" in out
    code, out, error = hdgan("import-masks", root, small_run.masks, "--corrections", corrections)
    assert "current (changed_px 64" in out
    assert "inputs.corrections" in hdgan("import-masks", root, small_run.masks)[2]


def test_masks_by_hand_are_not_to_be_imported_again_for_other_images(drawn, small_run, hdgan):
    root, settings = drawn
    hdgan("import-masks", root, small_run.masks, "--config", settings)
    settings.write_text(settings.read_text().replace("psi = 1.0", "psi = 0.5"))
    code, _, error = hdgan("run", settings, "--out", root, "--first", "samples", "--until", "annotations")
    assert code == 2
    assert (
        "samples (config.psi); annotations (inputs.samples); what a person drew belongs to the images before: take the change back" in error
    )
    assert error.rstrip().endswith(f"hdgan import-masks {root} FOLDER --redo")


def test_a_run_goes_on_with_imported_corrections_until_they_change(drawn, corrections, small_run, hdgan):
    root, settings = drawn
    settings.write_text(settings.read_text() + 'corrections = "corrections"\n')
    code, _, error = hdgan("import-masks", root, small_run.masks, "--config", settings)
    assert code == 0, error
    again = ("run", settings, "--out", root, "--first", "annotations", "--until", "annotations")
    assert "current" in hdgan(*again)[1]
    write_json(corrections / "000003.geojson", {"type": "FeatureCollection", "features": []})
    code, _, error = hdgan(*again)
    assert code == 2
    assert "annotations (inputs.corrections); import the masks again: hdgan import-masks" in error


def test_a_run_paints_corrections_over_the_masks_that_its_settings_name(drawn, corrections, small_run, hdgan):
    root, settings = drawn
    settings.write_text(settings.read_text() + f'masks = "{small_run.masks}"\n')
    code, out, error = hdgan(
        "run", settings, "--out", root, "--first", "annotations", "--until", "annotations", "--corrections", corrections
    )
    assert code == 0, error
    assert "000001: 64 px changed" in error
    assert (root / "4-annotations" / "proposals" / "000001.png").exists()


def test_imported_masks_outlive_a_change_of_their_samples(drawn, small_run, hdgan):
    root, settings = drawn
    hdgan("import-masks", root, small_run.masks, "--config", settings)
    settings.write_text(settings.read_text().replace("test = 6", "test = 4"))
    code, _, error = hdgan("run", settings, "--out", root, "--first", "annotations", "--until", "annotations", "--redo")
    assert code == 2
    assert "import the masks again" in error
    assert len(list((root / "4-annotations" / "masks").glob("*.png"))) == 16


VERBS = {"extract": "features", "fit": "features", "evaluate": "evaluation", "synthesize": "dataset", "segment": "downstream"}
"""And the first stage that each makes."""


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("options", [(), ("--redo",)], ids=["", "redo"])
def test_no_verb_builds_on_a_stale_stage(drawn, small_run, hdgan, refused, verb, options):
    root, settings = drawn
    hdgan("import-masks", root, small_run.masks, "--config", settings)
    settings.write_text(settings.read_text().replace("psi = 1.0", "psi = 0.9") + '[downstream]\n[real]\npairs = "pairs"\n')
    error = refused(verb, root, "--config", settings, *options)
    assert f"samples (config.psi); annotations (inputs.samples); make them again before {VERBS[verb]}, each with --redo" in error
    assert not (root / "5-features").exists()


READERS = {
    "sample": ("generator", "--interpolate", "out"),
    "quality": ("generator", "--num", 16),
    "export-generator": ("generator", "out.onnx"),
    "export-tiles": ("tiles", "--size", 16, "--out", "out.zip"),
    "ablate": ("classifier", "--repeats", 1),
    "latent": ("classifier",),
}
"""Verbs that make no stage, which one each reads, and what else they are given. `export-masks` is none: what was drawn can always be had."""


@pytest.mark.parametrize("verb", READERS)
def test_no_verb_reads_a_stale_stage(refused, verb, tmp_path, monkeypatch):
    stage, *options = READERS[verb]
    run = RunFolder(tmp_path / "run")
    with open_stage(run.folder(stage), stage=stage, config={}, seed=1, inputs={}) as opened:
        opened.seal(counts={})
    (run.root / "config.toml").write_text(SETTINGS + "[generator]\n[samples]\n[annotations]\n")
    monkeypatch.chdir(tmp_path)
    error = refused(verb, run.root, *options)
    assert (
        error == f"hdgan: made from other settings or inputs: {stage} (seed); add --redo to make them again (what a person drew is kept)\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_walk_through_the_latents_is_drawn_where_one_asks_for_it(drawn, hdgan, tmp_path):
    root, settings = drawn
    code, out, error = hdgan("sample", root, "--config", settings, "--interpolate", tmp_path / "walk", "--way", "spherical")
    assert code == 0, error
    assert [line.rsplit("/", 1)[1] for line in out.splitlines()] == ["interpolation.png", "interpolation.webp"]
    assert sorted(path.name for path in (tmp_path / "walk").iterdir()) == ["interpolation.png", "interpolation.webp"]


def test_classes_renamed_after_an_import_are_noticed_by_every_verb(drawn, small_run, hdgan, refused, tmp_path):
    root, settings = drawn
    write_json(tmp_path / "classes.json", read_json(small_run.masks / "classes.json"))
    settings.write_text(settings.read_text().replace(str(small_run.masks / "classes.json"), "classes.json"))
    assert hdgan("import-masks", root, small_run.masks, "--config", settings)[0] == 0
    renamed = read_json(tmp_path / "classes.json")
    renamed["classes"][0]["name"] = "other"
    write_json(tmp_path / "classes.json", renamed)
    error = refused("run", settings, "--out", root, "--first", "annotations", "--until", "annotations")
    assert "annotations (inputs.class_map); import the masks again: hdgan import-masks" in error
    assert "annotations (inputs.class_map)" in refused("fit", root)


def test_a_run_says_when_the_masks_that_were_imported_have_changed_since(drawn, small_run, hdgan, tmp_path):
    root, settings = drawn
    shutil.copytree(small_run.masks, tmp_path / "my masks")
    assert hdgan("import-masks", root, tmp_path / "my masks", "--config", settings)[0] == 0
    again = ("run", settings, "--out", root, "--first", "annotations", "--until", "annotations")
    assert "holds other masks" not in hdgan(*again)[2]
    first, second, *_ = sorted((tmp_path / "my masks").glob("*.png"))
    first.write_bytes(second.read_bytes())
    code, _, error = hdgan(*again)
    assert code == 0
    assert f"{tmp_path / 'my masks'} holds other masks than those that were imported from there" in error


def test_masks_are_not_handed_in_where_an_oracle_would_replace_them(drawn, small_run, hdgan, refused):
    root, settings = drawn
    plain = settings.read_text()
    few = plain.replace("train = 8\nvalidate = 2\ntest = 6", "train = 2\nvalidate = 1\ntest = 1")
    settings.write_text(few + '[oracle]\nname = "a U-Net"\n[real]\npairs = "pairs"\n')
    error = refused("import-masks", root, small_run.masks, "--config", settings)
    assert "its masks are drawn by 'a U-Net' of the settings, which would replace yours; correct its masks with --corrections" in error
    assert not (root / "4-annotations").exists()
    settings.write_text(plain)
    assert hdgan("import-masks", root, small_run.masks, "--config", settings)[0] == 0


def test_verify_looks_at_what_belongs_to_no_stage_too(drawn, small_run, hdgan):
    root, settings = drawn
    assert hdgan("import-masks", root, small_run.masks, "--config", settings)[0] == 0
    with open_stage(root / "oracle", stage="oracle", config={}, seed=0, inputs={}) as folder:
        (root / "oracle" / "report.json").write_text("{}")
        folder.seal(counts={})
    assert "oracle: 1 files, as written" in hdgan("verify", root)[1]
    (root / "oracle" / "report.json").write_text("[]")
    assert "1 files are not as they were written" in hdgan("verify", root)[2]
