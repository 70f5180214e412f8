from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.corrections import Correction, collect_corrections, correct, told
from hdgan.annotations.geojson import IGNORED_CLASS, mask_to_geojson
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.regions import ClassNames
from hdgan.annotations.stage import run_annotations
from hdgan.errors import BadInput, BadMask, StaleStage
from hdgan.labels import KIDNEY
from hdgan.progress import Silent
from hdgan.store.atomic import write_json
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array
from hdgan.store.stage import read_manifest, verify
from tests.annotations.painted import EDGE_PX, NUM_SAMPLES, drawn_mask

SETTINGS = {"train": 4, "validate": 2, "test": 3, "annotator": "oracle"}


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def feature(left, top, right, bottom, name):
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"classification": {"name": name}}}


def geojson(*features):
    return json.dumps({"type": "FeatureCollection", "features": list(features)})


@pytest.fixture
def corrections(tmp_path):
    """One proposal corrected by two regions of which the second lies over the first, one looked at and left."""
    folder = tmp_path / "corrections"
    folder.mkdir()
    (folder / "000001.geojson").write_text(geojson(feature(0, 0, 6, 6, "glomerulus"), feature(4, 0, 8, 6, "Artery")))
    (folder / "000002.geojson").write_text(geojson())
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "4-annotations"


def imported(samples, masks, out, corrections, *, redo=False, progress=None, **changed):
    config = AnnotationsConfig(**{**SETTINGS, "corrections": corrections, "corrector": "B. Eye", **changed})
    return run_annotations(config, samples=samples, masks=masks, out=out, seed=1, redo=redo, progress=progress or Silent())


def corrected(mask):
    mask = mask.copy()
    mask[:6, :6] = 2
    mask[:6, 4:8] = 4
    return mask


def test_regions_are_painted_over_the_proposal_the_later_over_the_earlier(samples, masks, corrections, out):
    imported(samples, masks, out, corrections)
    annotations = AnnotationSet(out)
    np.testing.assert_array_equal(annotations.mask("000001"), corrected(drawn_mask(1)))
    np.testing.assert_array_equal(annotations.proposal("000001"), drawn_mask(1))
    for index in (0, 2, 3):
        np.testing.assert_array_equal(annotations.mask(f"{index:06d}"), drawn_mask(index))
        np.testing.assert_array_equal(annotations.proposal(f"{index:06d}"), drawn_mask(index))
    audit = json.loads((out / "audit.json").read_text())
    assert audit["images"]["000001"]["artery"] == 24
    assert verify(out) == []


def test_each_mask_says_who_proposed_it_and_who_looked_at_it(samples, masks, corrections, out):
    write_json(masks / "masks.json", {"000002": {"annotator": "other oracle"}})
    image_hash = SampleBank(samples).by_name("000002").image_hash
    notes = {"000002": {"annotator": "C. Resident", "image_hash": image_hash, "proposal_hash": hash_array(drawn_mask(2))}}
    write_json(corrections / "corrections.json", notes)
    imported(samples, masks, out, corrections)
    annotations = AnnotationSet(out)
    assert annotations.row("000001").annotator == "oracle; corrected by B. Eye"
    assert annotations.row("000002").annotator == "other oracle; looked at by C. Resident, unchanged"
    assert annotations.row("000003").annotator == "oracle"
    assert annotations.annotator == "oracle; corrected by B. Eye + other oracle; looked at by C. Resident, unchanged"


def test_proposal_and_correction_are_kept_byte_for_byte_even_when_corrected_anew(samples, masks, corrections, out):
    imported(samples, masks, out, corrections)
    first = (corrections / "000001.geojson").read_bytes()
    (corrections / "000001.geojson").write_text(geojson(feature(0, 0, 2, 2, "artery")))
    with pytest.raises(StaleStage, match=r"inputs\.corrections"):
        imported(samples, masks, out, corrections)
    imported(samples, masks, out, corrections, redo=True)
    kept = {path.read_bytes() for path in (out / "keep" / "history").glob("000001-*")}
    assert kept == {first, (corrections / "000001.geojson").read_bytes(), (masks / "000001.png").read_bytes()}
    assert sorted(path.name for path in (out / "proposals").iterdir()) == ["000001.png", "000002.png"]


def test_the_stages_copy_of_corrections_is_a_folder_that_is_read_as_the_first_was(samples, masks, corrections, out, tmp_path):
    imported(samples, masks, out, corrections)
    imported(samples, masks, tmp_path / "again", out / "corrections", corrector="nobody")
    first, again = AnnotationSet(out), AnnotationSet(tmp_path / "again")
    assert again.rows == first.rows
    assert (tmp_path / "again" / "corrections.json").read_text() == (out / "corrections.json").read_text()


def test_the_changed_pixels_are_counted_from_class_to_class_and_said(samples, masks, corrections, out):
    heard = Heard()
    manifest = imported(samples, masks, out, corrections, progress=heard)
    data = json.loads((out / "corrections.json").read_text())
    was, now = drawn_mask(1), corrected(drawn_mask(1))
    row = data["images"]["000001"]
    assert row["changed"] == (was != now).sum() == 48
    assert row["share"] == 48 / EDGE_PX**2
    assert row["changes"]["whitespace"] == {"glomerulus": 16, "artery": 16}
    assert (row["proposer"], row["corrector"]) == ("oracle", "B. Eye")
    assert data["images"]["000002"]["changed"] == 0
    total = data["totals"]
    assert (total["images"], total["images_changed"], total["changed"]) == (2, 1, 48)
    assert total["changes"] == row["changes"]
    assert len(data["not_looked_at"]) == NUM_SAMPLES - 2
    assert manifest.counts["corrections"] == 2
    assert manifest.counts["changed_px"] == 48
    assert [line for line in heard.lines if line in told(data)] == told(data)
    assert told(data)[0].startswith("000001: 48 px changed (8.3 %) by B. Eye: whitespace -> glomerulus 16, whitespace -> artery 16, ")
    assert told(data)[1] == "000002: 0 px changed (0.0 %) by B. Eye"
    assert told(data)[2].startswith("corrections: 48 of 1,152 px changed (4.2 %), in 1 of 2 images that were looked at: ")


def test_an_import_without_corrections_is_known_by_what_it_always_was(samples, masks, out, tmp_path):
    imported(samples, masks, out, None, corrector="unnamed")
    manifest = read_manifest(out)
    assert "corrections" not in manifest.inputs
    assert not {"corrections", "corrector", "random_test"} & manifest.config.keys()
    assert not (out / "corrections.json").exists()
    (tmp_path / "empty").mkdir()
    assert imported(samples, masks, out, tmp_path / "empty", corrector="unnamed") == manifest


def test_drawn_names_are_mapped_and_pixels_can_be_taken_back(samples, masks, corrections, out, tmp_path):
    write_json(tmp_path / "mapping.json", {"Tuft": "glomerulus"})
    (corrections / "000001.geojson").unlink()
    text = geojson(feature(0, 0, 3, 3, "Tuft"), feature(10, 0, 12, 2, IGNORED_CLASS))
    (corrections / "000001.geojson.gz").write_bytes(gzip.compress(text.encode()))
    imported(samples, masks, out, corrections, class_mapping=tmp_path / "mapping.json")
    expected = drawn_mask(1)
    expected[:3, :3] = 2
    expected[:2, 10:12] = 255
    np.testing.assert_array_equal(AnnotationSet(out).mask("000001"), expected)
    assert json.loads((out / "corrections.json").read_text())["totals"]["changes"]["whitespace"] == {"glomerulus": 9, "ignored": 4}


def test_corrections_are_found_by_the_names_of_their_samples(tmp_path):
    for name in ("000000.GeoJSON", "000001.geojson.gz", ".000002.geojson", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "000002.geojson").mkdir()
    found = collect_corrections(tmp_path, proposed=("000000", "000001"), known=("000000", "000001", "000002"))
    assert {name: path.name for name, path in found.drawings.items()} == {"000000": "000000.GeoJSON", "000001": "000001.geojson.gz"}


@pytest.mark.parametrize(
    ("files", "where", "told"),
    [
        (
            ["000000.png"],
            "000000.png",
            "corrections are outlines, no pictures; draw them as GeoJSON, or import the whole mask instead of the proposal",
        ),
        (["000000.geojson", "000000.geojson.gz"], "000000.geojson.gz", "000000.geojson is of the same sample; keep one of them"),
        (["000009.geojson"], "000009.geojson", "no sample is called '000009'; samples are called like 000000"),
        (
            ["000002.geojson", "000009.geojson", "x.png"],
            "000002.geojson",
            "corrects sample 000002, for which no mask is proposed; import it as a mask, or take it out of the folder",
        ),
    ],
)
def test_the_first_correction_that_does_not_fit_is_told_in_one_line(tmp_path, files, where, told):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(BadMask) as caught:
        collect_corrections(tmp_path, proposed=("000000", "000001"), known=("000000", "000001", "000002"))
    assert str(caught.value) == f"{tmp_path / where}: {told}"


def test_what_does_not_fit_is_one_line_and_nothing_is_written(samples, masks, corrections, out):
    def refused(match, kind=BadMask):
        with pytest.raises(kind, match=match) as caught:
            imported(samples, masks, out, corrections)
        assert "\n" not in str(caught.value)
        assert not out.exists()

    (masks / "000009.png").unlink()
    (corrections / "000009.geojson").write_text(geojson())
    refused(r"000009\.geojson: corrects sample 000009, for which no mask is proposed")
    (corrections / "000009.geojson").rename(corrections / "glomeruli.geojson")
    refused("no sample is called 'glomeruli'")
    (corrections / "glomeruli.geojson").rename(corrections / "000002.geojson.gz")
    refused(r"000002\.geojson is of the same sample|000002\.geojson\.gz is of the same sample")
    (corrections / "000002.geojson.gz").rename(corrections / "000002.png")
    refused("corrections are outlines, no pictures")
    (corrections / "000002.png").unlink()
    (corrections / "000002.geojson").write_text(geojson(feature(0, 0, 3, 3, "Tuft")))
    refused("feature 1 has the unknown class 'Tuft'")
    (corrections / "000002.geojson").write_text(geojson(feature(100, 0, 130, 3, "artery")))
    refused("feature 1 lies outside of the image of 24 x 24 px")
    (corrections / "000002.geojson").write_text(geojson(feature(0, 0, 24, 24, IGNORED_CLASS)))
    refused("leaves no labelled pixel")
    (corrections / "000002.geojson").write_text("{")
    refused("cannot be read as GeoJSON", BadInput)


@pytest.mark.parametrize(
    ("notes", "match"),
    [
        ({"000002": {"image_hash": "0" * 64}}, "000002 was corrected on an image with hash 000000000000"),
        ({"000002": {"proposal_hash": "0" * 64}}, "000002 was corrected on a proposal with hash 000000000000"),
        ({"000099": {}}, "names '000099', and no sample is called so"),
        ({"000002": {"colour": "red"}}, "entry '000002' is"),
        ({"000002": {"annotator": ""}}, "entry '000002' is"),
        (["000002"], "not an object of corrections"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(samples, masks, corrections, out, notes, match):
    write_json(corrections / "corrections.json", notes)
    with pytest.raises(BadInput, match=match):
        imported(samples, masks, out, corrections)
    assert not out.exists()


def test_the_sidecar_may_know_proposals_that_nobody_corrected_yet(samples, masks, corrections, out):
    write_json(corrections / "corrections.json", {"000005": {"proposal_hash": "of an older one"}})
    imported(samples, masks, out, corrections)
    assert AnnotationSet(out).row("000005").annotator == "oracle"


def test_a_folder_that_is_not_there_or_would_be_cleared_is_refused(samples, masks, corrections, out, tmp_path):
    with pytest.raises(BadInput, match="no such folder of corrections"):
        imported(samples, masks, out, tmp_path / "nowhere")
    imported(samples, masks, out, corrections)
    with pytest.raises(BadInput, match="which a redo clears"):
        imported(samples, masks, out, out / "corrections", redo=True)


BOXES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 8), st.integers(1, 8), st.sampled_from(KIDNEY.names)), max_size=6
)


@settings(max_examples=30)
@given(BOXES, st.integers(0, 9))
def test_pixels_no_region_covers_stay_and_the_table_counts_every_changed_one(tmp_path_factory, boxes, index):
    folder = tmp_path_factory.mktemp("corrections")
    (folder / "a.geojson").write_text(geojson(*(feature(x, y, x + w, y + h, name) for x, y, w, h, name in boxes)))
    source = collect_corrections(folder, proposed=("a",), known=("a",))
    assert source is not None
    proposal = drawn_mask(index)
    found = correct(source, "a", proposal, names=ClassNames(KIDNEY), image_hash="", proposer="oracle", corrector="eye")
    assert isinstance(found, Correction)
    expected, covered = proposal.copy(), np.zeros(proposal.shape, bool)
    for x, y, w, h, name in boxes:
        expected[y : y + h, x : x + w] = KIDNEY.names.index(name)
        covered[y : y + h, x : x + w] = True
    np.testing.assert_array_equal(found.mask, expected)
    assert (found.mask == found.proposal)[~covered].all()
    assert sum(sum(row.values()) for row in found.changes(KIDNEY).values()) == found.changed


def test_a_correction_that_says_which_image_it_is_of_cannot_be_one_of_another(samples, masks, corrections, out):
    about = {"image_hash": "f" * 64}
    drawn = mask_to_geojson(drawn_mask(1), KIDNEY, name="000001", metadata=about)
    (corrections / "000001.geojson").write_text(json.dumps(drawn))
    with pytest.raises(BadMask, match="was drawn on an image with hash ffffffffffff, sample 000001 has"):
        imported(samples, masks, out, corrections)
    assert not out.exists()
