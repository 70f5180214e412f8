from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from hdgan.annotations import stage
from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.export import export_geojson
from hdgan.annotations.geojson import geojson_text, mask_to_geojson
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import changed_folder, changed_inputs, run_annotations
from hdgan.errors import BadConfig, BadInput, BadMask, DamagedArtifact, StaleStage
from hdgan.labels import KIDNEY
from hdgan.progress import Silent
from hdgan.store.atomic import write_bytes, write_json
from hdgan.store.bank import SampleBank
from hdgan.store.stage import verify
from tests.annotations.painted import EDGE_PX, NUM_SAMPLES, drawn_mask, tree

SIZES = {"train": 4, "validate": 2, "test": 3}


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def imported(samples, masks, out, *, seed=1, redo=False, progress=None, **settings):
    config = AnnotationsConfig(**{**SIZES, "annotator": "A. Expert", **settings})
    return run_annotations(config, samples=samples, masks=masks, out=out, seed=seed, redo=redo, progress=progress or Silent())


@pytest.fixture
def out(tmp_path):
    return tmp_path / "4-annotations"


def test_masks_come_back_as_they_were_drawn_with_their_annotator_and_hashes(samples, masks, out):
    manifest = imported(samples, masks, out)
    annotations = AnnotationSet(out)
    bank = SampleBank(samples)
    assert annotations.names == tuple(f"{i:06d}" for i in range(NUM_SAMPLES))
    assert annotations.annotator == "A. Expert"
    assert (annotations.classes, annotations.mpp, annotations.resolution) == (KIDNEY, 0.5, EDGE_PX)
    for index, name in enumerate(annotations.names):
        assert np.array_equal(annotations.mask(name), drawn_mask(index))
        assert annotations.row(name).image_hash == bank.by_name(name).image_hash
    assert manifest.counts == {"masks": 10, **SIZES}
    assert verify(out) == []


def test_the_split_has_its_sizes_and_the_only_artery_trains(samples, masks, out):
    heard = Heard()
    imported(samples, masks, out, progress=heard)
    split = AnnotationSet(out).split
    assert {part: len(names) for part, names in split.items()} == SIZES
    assert "000007" in split["train"]
    assert "the validate part has no pixel of 'artery'" in heard.lines
    assert "the test part has no pixel of 'artery': nothing is measured of that" in heard.lines
    assert "1 more masks than the split asks for are in no part" in heard.lines


def test_the_audit_counts_every_pixel_of_every_class(samples, masks, out):
    imported(samples, masks, out)
    audit = json.loads((out / "audit.json").read_text())
    expected = np.bincount(drawn_mask(7).ravel(), minlength=256)
    assert audit["images"]["000007"] == {**{name: int(expected[i]) for i, name in enumerate(KIDNEY.names)}, "ignored": int(expected[255])}
    assert audit["parts"]["train"]["missing"] == []
    assert sum(sum(part["pixels"].values()) + part["ignored"] for part in audit["parts"].values()) == 9 * EDGE_PX**2


def test_geojson_and_png_drawings_of_the_same_regions_give_equal_masks(samples, masks, out, tmp_path):
    imported(samples, masks, out)
    drawn = tmp_path / "qupath"
    assert len(export_geojson(out, out=drawn)) == NUM_SAMPLES
    imported(samples, drawn, tmp_path / "again")
    for name in AnnotationSet(out).names:
        assert (tmp_path / "again" / "masks" / f"{name}.png").read_bytes() == (out / "masks" / f"{name}.png").read_bytes()
    assert json.loads((out / "split.json").read_text()) == json.loads((tmp_path / "again" / "split.json").read_text())


def test_a_background_class_fills_what_no_region_covers_and_must_exist(samples, masks, out):
    text = geojson_text(mask_to_geojson(drawn_mask(0), KIDNEY, name="000000"))
    (masks / "000000.png").unlink()
    (masks / "000000.geojson").write_text(text)
    imported(samples, masks, out, background="whitespace")
    expected = drawn_mask(0)
    expected[expected == 255] = 0
    assert np.array_equal(AnnotationSet(out).mask("000000"), expected)
    with pytest.raises(BadConfig, match="no class 'lumen'"):
        imported(samples, masks, out, background="lumen", redo=True)


def test_the_sidecar_names_other_annotators_and_ties_masks_to_images(samples, masks, out):
    bank = SampleBank(samples)
    write_json(masks / "masks.json", {"000002": {"annotator": "B. Resident", "image_hash": bank.by_name("000002").image_hash}})
    imported(samples, masks, out)
    annotations = AnnotationSet(out)
    assert annotations.row("000002").annotator == "B. Resident"
    assert annotations.annotator == "A. Expert + B. Resident"


def test_a_second_run_changes_nothing_and_equal_runs_give_equal_bytes(samples, masks, out, tmp_path):
    first = imported(samples, masks, out)
    before = tree(out)
    assert imported(samples, masks, out) == first
    assert tree(out) == before
    moved = shutil.copytree(masks, tmp_path / "moved")
    imported(samples, moved, tmp_path / "other")
    assert {name: data for name, data in tree(tmp_path / "other").items() if name != "provenance.json"} == {
        name: data for name, data in before.items() if name != "provenance.json"
    }


def test_changed_masks_need_a_redo_and_the_earlier_drawing_is_kept(samples, masks, out):
    imported(samples, masks, out)
    earlier = (masks / "000003.png").read_bytes()
    mask = drawn_mask(3)
    mask[0, 0] = 2
    Image.fromarray(mask).save(masks / "000003.png")
    with pytest.raises(StaleStage, match=r"inputs\.masks"):
        imported(samples, masks, out)
    assert np.array_equal(AnnotationSet(out).mask("000003"), drawn_mask(3))
    imported(samples, masks, out, redo=True)
    assert np.array_equal(AnnotationSet(out).mask("000003"), mask)
    kept = [path.read_bytes() for path in (out / "keep" / "history").glob("000003-*.png")]
    assert len(kept) == 2
    assert earlier in kept


@pytest.mark.parametrize("num_writes", [0, 5, 13])
def test_an_import_that_was_cut_off_is_finished_by_the_same_command(samples, masks, out, tmp_path, monkeypatch, num_writes):
    imported(samples, masks, tmp_path / "whole")
    left = [num_writes]

    def write_then_die(path, data):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        write_bytes(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "write_bytes", write_then_die)
        with pytest.raises(KeyboardInterrupt):
            imported(samples, masks, out)
    with pytest.raises(BadInput):
        AnnotationSet(out)
    imported(samples, masks, out)
    finished, whole = (tree(folder) for folder in (out, tmp_path / "whole"))
    assert finished.pop("provenance.json") != b""
    whole.pop("provenance.json")
    assert finished == whole


def broken_cases():
    def wrong_size(masks, samples):
        Image.fromarray(np.zeros((EDGE_PX, EDGE_PX + 1), np.uint8)).save(masks / "000001.png")

    def foreign(masks, samples):
        Image.fromarray(np.full((EDGE_PX, EDGE_PX), 5, np.uint8)).save(masks / "000001.png")

    def unlabelled(masks, samples):
        Image.fromarray(np.full((EDGE_PX, EDGE_PX), 255, np.uint8)).save(masks / "000001.png")

    def other_picture(masks, samples):
        write_json(masks / "masks.json", {"000001": {"image_hash": "0" * 64}})

    def sidecar_of_nothing(masks, samples):
        write_json(masks / "masks.json", {"000099": {"annotator": "x"}})

    def sidecar_key(masks, samples):
        write_json(masks / "masks.json", {"000001": {"who": "x"}})

    def sidecar_list(masks, samples):
        write_json(masks / "masks.json", ["000001"])

    def no_sample(masks, samples):
        shutil.copy(masks / "000001.png", masks / "000077.png")

    def twice(masks, samples):
        (masks / "000001.geojson").write_text("[]")

    def jpeg(masks, samples):
        Image.fromarray(drawn_mask(1)).save(masks / "000001.jpg")

    def labelme(masks, samples):
        (masks / "000001.png").rename(masks / "000001.json")

    def other_classes(masks, samples):
        write_json(masks / "classes.json", {"classes": [{"index": i, "name": n, "colour": "#000000"} for i, n in enumerate("ab")]})

    def unknown_region(masks, samples):
        data = mask_to_geojson(drawn_mask(1), KIDNEY, name="x")
        data["features"][0]["properties"]["classification"]["name"] = "Medulla"
        (masks / "000001.png").unlink()
        (masks / "000001.geojson").write_text(json.dumps(data))

    def too_few(masks, samples):
        for name in ("000001", "000002"):
            (masks / f"{name}.png").unlink()

    return [
        (wrong_size, "25 x 24 px, its image has 24 x 24 px"),
        (foreign, r"foreign label 5 \(576 px\)"),
        (unlabelled, "no labelled pixel"),
        (other_picture, "drawn on an image with hash 000000000000"),
        (sidecar_of_nothing, "'000099', of which there is no mask"),
        (sidecar_key, "entry '000001'"),
        (sidecar_list, "not an object of masks"),
        (no_sample, "no sample is called '000077'; they are 000000 to 000009"),
        (twice, "000001.geojson is of the same sample|000001.png.*000001.geojson is of the same sample"),
        (jpeg, r"masks of type \.jpg are not read"),
        (labelme, r"outlines of type \.json are not read"),
        (other_classes, "drawn with the classes a, b"),
        (unknown_region, "unknown class 'Medulla'"),
        (too_few, r"8 found, a split 4/2/3 needs 9; .*annotations\.train, "),
    ]


@pytest.mark.parametrize(("breaking", "told"), broken_cases(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_does_not_fit_is_one_clear_line_and_nothing_is_written(samples, masks, out, breaking, told):
    breaking(masks, samples)
    with pytest.raises(BadInput, match=told) as caught:
        imported(samples, masks, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_bad_redo_leaves_the_earlier_import_whole(samples, masks, out):
    imported(samples, masks, out)
    before = tree(out)
    Image.fromarray(np.full((EDGE_PX, EDGE_PX), 5, np.uint8)).save(masks / "000001.png")
    with pytest.raises(BadMask):
        imported(samples, masks, out, redo=True)
    assert tree(out) == before


def test_a_sample_that_was_swapped_on_the_disk_takes_no_mask(samples, masks, out):
    shutil.copy(samples / "images" / "000004.png", samples / "images" / "000003.png")
    with pytest.raises(DamagedArtifact, match="image 000003 has changed"):
        imported(samples, masks, out)
    assert not out.exists()


def test_a_mask_that_changed_after_its_import_is_not_read(samples, masks, out):
    imported(samples, masks, out)
    shutil.copy(out / "masks" / "000007.png", out / "masks" / "000003.png")
    with pytest.raises(DamagedArtifact, match=r"000003\.png: has changed"):
        AnnotationSet(out).mask("000003")
    with pytest.raises(BadInput, match="'000042' is not annotated"):
        AnnotationSet(out).mask("000042")


def test_the_masks_must_be_given_and_may_not_lie_where_a_redo_clears(samples, masks, out):
    with pytest.raises(BadConfig, match="no folder of masks is given"):
        imported(samples, None, out)
    with pytest.raises(BadInput, match="no such folder"):
        imported(samples, masks / "absent", out)
    inside = shutil.copytree(masks, out / "drawn")
    with pytest.raises(BadInput, match="inside of the stage's own folder"):
        imported(samples, inside, out)
    shutil.rmtree(out)
    kept = shutil.copytree(masks, out / "keep" / "drawn")
    imported(samples, kept, out)
    imported(samples, kept, out, redo=True, annotator="C. Other")
    assert AnnotationSet(out).annotator == "C. Other"
    assert len(list(kept.iterdir())) == NUM_SAMPLES


def test_hidden_files_and_folders_beside_the_masks_are_left_alone(samples, masks, out):
    (masks / ".DS_Store").write_bytes(b"x")
    (masks / "notes.txt").write_text("hello")
    (masks / "old").mkdir()
    assert imported(samples, masks, out).counts["masks"] == NUM_SAMPLES


@pytest.mark.parametrize("settings", [{"train": 0}, {"colour": 1}, {"draw_order": "random"}, {"annotator": ""}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        AnnotationsConfig(**settings)


def test_outlines_that_say_which_image_they_are_of_cannot_be_swapped(samples, masks, out, tmp_path):
    imported(samples, masks, out)
    outlines = tmp_path / "outlines"
    export_geojson(out, out=outlines)
    imported(samples, outlines, tmp_path / "back")
    (outlines / "000001.geojson").rename(tmp_path / "other")
    (outlines / "000002.geojson").rename(outlines / "000001.geojson")
    (tmp_path / "other").rename(outlines / "000002.geojson")
    with pytest.raises(BadMask, match=r"000001\.geojson: was drawn on an image with hash .*, sample 000001 has"):
        imported(samples, outlines, tmp_path / "swapped")
    assert not (tmp_path / "swapped").exists()


def test_an_outline_that_was_copied_from_another_image_may_stand_among_its_own(samples, masks, out, tmp_path):
    imported(samples, masks, out)
    outlines = tmp_path / "outlines"
    export_geojson(out, out=outlines)
    own, other = (json.loads((outlines / f"{name}.geojson").read_text()) for name in ("000001", "000002"))
    write_json(outlines / "000001.geojson", {**own, "features": [*own["features"], other["features"][-1]]})
    imported(samples, outlines, tmp_path / "back")


def test_what_the_settings_name_and_changed_since_the_import_is_found(samples, masks, out, tmp_path):
    class_map, mapping = tmp_path / "classes.json", tmp_path / "mapping.json"
    write_json(class_map, KIDNEY.to_json())
    write_json(mapping, {"Tuft": "glomerulus"})
    named = AnnotationsConfig(**SIZES, masks=masks, class_map=class_map, class_mapping=mapping)
    run_annotations(named, samples=samples, out=out, seed=1)

    def changed():
        return changed_inputs(named, samples=samples, out=out)

    assert changed() == ()
    write_json(mapping, {"Tuft": "artery"})
    Image.fromarray(np.zeros((EDGE_PX, EDGE_PX), np.uint8)).save(masks / "000001.png")
    assert changed() == ("inputs.class_mapping", "inputs.masks")
    other = KIDNEY.to_json()
    other["classes"][2]["name"] = "tuft"
    write_json(class_map, other)
    write_json(mapping, {"Tuft": "tuft"})
    assert changed() == ("inputs.class_map", "inputs.class_mapping", "inputs.masks")
    class_map.unlink()
    with pytest.raises(BadInput, match=r"classes\.json"):
        changed()


def test_the_folder_of_an_import_is_known_and_told_when_it_holds_other_masks(samples, masks, out, tmp_path):
    imported(samples, masks, out)
    config = AnnotationsConfig(**SIZES)
    assert changed_folder(config, samples=samples, out=out) is None
    Image.fromarray(np.zeros((EDGE_PX, EDGE_PX), np.uint8)).save(masks / "000001.png")
    assert changed_folder(config, samples=samples, out=out) == masks
    (masks / "000001.tif").write_bytes(b"")  # what could not be imported is another content, too
    assert changed_folder(config, samples=samples, out=out) == masks
    masks.rename(tmp_path / "put away")
    assert changed_folder(config, samples=samples, out=out) is None
