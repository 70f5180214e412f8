from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from hdgan.errors import BadConfig, BadInput
from hdgan.generator.weights import FILE, save_generator
from hdgan.pipeline.held_out import MOST_ROUNDS, Whiteness, open_held_out
from hdgan.pipeline.quality import measure_quality
from hdgan.pipeline.run import open_run
from hdgan.pipeline.subject import open_subject
from hdgan.slides.content import content_hash
from hdgan.store.layout import RunFolder
from hdgan.testing.sets import paint_sets
from tests.downstream.conftest import paint_slide

from .test_quality import SIZE_PX, labelled_network, write_run

SETTINGS = """
[run]
name = "x"
[tiles]
slides = ["none.csv"]
mpp = 2.0
tile_px = 48
max_background = {most}
[generator]
resolution = 32
[real]
"""
SLIDE = """
slide = "{slide}.png"
slide_mpp = 1.0
[real.regions]
glomerulus = "rings.png"
[real.cut]
tile_px = 32
mpp = 2.0
max_white = 1.0
[real.cut.sets.test]
rows = [[512, 768]]
[real.cut.sets.seen]
rows = [[0, 256]]
"""
LABELS = {"by": "patient", "names": ["p0", "p1", "p2"], "counts": [4, 4, 4]}


def give_pairs(root, *, sizes, mpp=2.0, most=1.0, size_px=SIZE_PX):
    """Settings that name painted pairs."""
    paint_sets(root / "pairs", size_px=size_px, mpp=mpp, stains=("pas",), sizes=sizes, seed=5)
    (root / "config.toml").write_text(SETTINGS.format(most=most) + 'pairs = "pairs"\n')


def give_slide(root, *, name, most=1.0):
    """Settings that name a slide with rings, whose right edge is white."""
    image, regions = paint_slide()
    Image.fromarray(image).save(root / f"{name}.png")
    Image.fromarray(regions.astype(np.uint8)).save(root / "rings.png")
    (root / "config.toml").write_text(SETTINGS.format(most=most) + SLIDE.format(slide=name))


def opened(root, name, *, num=50):
    return open_held_out(open_run(root), name, open_subject(RunFolder(root), seed=0), num=num)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of crops that are only turned by quarters, with labels and a set of 12 pairs."""
    root = write_run(tmp_path_factory.mktemp("run"), config={"is_turned": False, "flips": "both", "is_quarter_turned": True})
    save_generator(root / "2-generator" / FILE, labelled_network(3), mpp=2.0, trained={"conditions": LABELS})
    give_pairs(root, sizes={"test": 12, "few": 4})
    return root


@pytest.fixture(scope="module")
def measured(run):
    return measure_quality(run, num=30, psi=1.0, held_out_set="test")


def test_real_tissue_that_was_held_out_lies_nearer_than_an_untrained_generators_images(measured):
    found = measured.held_out_set
    assert (found.name, found.pairs, found.num, found.rounds) == ("test", 12, 12, 2)
    assert found.held_out.mean.frechet < found.samples_to_held_out.mean.frechet
    assert found.floor.mean.frechet < found.samples.mean.frechet
    assert found.floor.mean.shares.precision > found.samples.mean.shares.precision
    assert found.floor.frechet_spread > 0


def test_both_limits_of_a_copy_are_told_apart(measured):
    assert measured.copies.threshold != measured.copies_by_set.threshold
    assert measured.copies.share == measured.copies_by_set.share == 0
    data = json.loads(measured.path.read_text())
    assert data["held_out_set"]["held_out"]["frechet"] == measured.held_out_set.held_out.mean.frechet
    assert [data["copies"]["held_out"], data["copies_by_set"]["held_out"]] == [30, 12]
    assert 0 <= data["copies_by_set"]["held_out_below_others"] <= 1


def test_the_other_numbers_are_those_without_the_set(run, measured):
    plain = measure_quality(run, num=30, psi=1.0)
    assert (plain.samples, plain.floor, plain.copies) == (measured.samples, measured.floor, measured.copies)
    assert plain.held_out_set is plain.copies_by_set is None
    assert "held_out_set" not in json.loads(plain.path.read_text())


def test_with_a_condition_samples_and_training_crops_are_of_that_label(run):
    subject = open_subject(RunFolder(run), seed=0, condition="p1")
    assert {subject.tiles.rows[i].patient for i in subject.compared} == {"p1"}
    assert len(subject.trained) == 12
    anyone = open_subject(RunFolder(run), seed=0)
    assert not np.array_equal(subject.drawing(psi=1.0)(0, 6), anyone.drawing(psi=1.0)(0, 6))
    found = measure_quality(run, num=16, psi=1.0, condition="p1")
    assert found.path.name == "psi-1.00.p1.json"
    assert found.about["tiles"] == {"trained": 12, "compared": 4, "held_out": 0}
    assert (run / "quality" / "samples-psi-1.00.p1.png").exists()
    with pytest.raises(BadConfig, match="knows no patient 'p9'"):
        open_subject(RunFolder(run), seed=0, condition="p9")


def test_labels_that_no_tile_of_the_run_has_are_refused(tmp_path):
    root = write_run(tmp_path, config={})
    labels = {"by": "patient", "names": ["p0", "q"], "counts": [1, 1]}
    save_generator(root / "2-generator" / FILE, labelled_network(2), mpp=2.0, trained={"conditions": labels})
    with pytest.raises(BadConfig, match="no training tile has the patient 'q'"):
        open_subject(RunFolder(root), seed=0, condition="q")
    save_generator(root / "2-generator" / FILE, labelled_network(2), mpp=2.0, trained={})
    with pytest.raises(BadConfig, match="do not say which tiles have the label '1'"):
        open_subject(RunFolder(root), seed=0, condition="1")


def test_a_set_is_cut_where_it_is_missing_and_white_pairs_do_not_count(tmp_path):
    root = write_run(tmp_path, config={"is_turned": False})
    give_slide(root, name="elsewhere")
    every = opened(root, "test")
    assert (len(every.images), every.num_pairs) == (16, 16)
    assert every.images.shape[1:] == (SIZE_PX, SIZE_PX, 3)
    give_slide(root, name="elsewhere", most=0.1)  # of the last column of tiles a quarter is white
    tissue = opened(root, "test")
    assert (len(tissue.images), tissue.num_pairs) == (12, 16)
    assert {image.tobytes() for image in tissue.images} < {image.tobytes() for image in every.images}
    assert len(opened(root, "test", num=8).images) == 8


def test_white_is_counted_as_the_labelled_pairs_count_it():
    half = np.zeros((8, 8, 3), np.uint8)
    half[:4] = 230
    assert Whiteness(0.5).passes(half)
    assert not Whiteness(0.49).passes(half)
    assert Whiteness(0.49, above=240).passes(half)
    assert Whiteness(1.0).passes(half + 230)


def test_a_set_into_which_training_tiles_reach_was_not_held_out(tmp_path):
    root = write_run(tmp_path, config={})
    give_slide(root, name="p0")  # tiles of p0 lie at the rows 0 to 48
    with pytest.raises(BadInput, match="4 training tiles of slide p0 reach into the rows of the set 'seen'"):
        opened(root, "seen")
    assert not (root / "real").exists()
    assert len(opened(root, "test").images) == 16


def test_a_slide_that_the_tiles_call_by_another_name_is_known_by_its_content(tmp_path):
    root = write_run(tmp_path, config={})
    give_slide(root, name="scan-17")
    assert len(opened(root, "seen").images) == 16  # nothing says that p0 is that file
    content = content_hash(root / "scan-17.png")
    (root / "1-tiles" / "slides.csv").write_text(f"slide,file,content\np0,S-0.png,{content}\np1,S-1.png,sha256:0\n")
    with pytest.raises(BadInput, match="4 training tiles of slide p0 reach into the rows of the set 'seen'"):
        opened(root, "seen")
    assert len(opened(root, "test").images) == 16


def test_a_set_that_does_not_fit_is_refused(run, tmp_path):
    with pytest.raises(BadInput, match="no set 'train'"):
        opened(run, "train")
    with pytest.raises(BadInput, match=r"of the set 'few' 4 of 4 pairs .* at least 6"):
        opened(run, "few")
    coarse = write_run(tmp_path / "coarse", config={})
    give_pairs(coarse, sizes={"test": 8}, mpp=4.0)
    with pytest.raises(BadInput, match="at 4 um/px, the tiles at 2"):
        opened(coarse, "test")
    small = write_run(tmp_path / "small", config={})
    give_pairs(small, sizes={"test": 8}, size_px=16)
    with pytest.raises(BadInput, match="smaller than the generator's 32 px"):
        opened(small, "test")
    (small / "config.toml").write_text(SETTINGS.format(most=1.0).replace("[real]", ""))
    with pytest.raises(BadConfig, match="no labelled pairs"):
        opened(small, "test")


def test_small_sets_are_compared_often_and_large_ones_once(run):
    assert MOST_ROUNDS >= measure_quality(run, num=16, psi=1.0, held_out_set="test").held_out_set.rounds == 1
