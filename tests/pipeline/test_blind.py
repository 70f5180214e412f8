from __future__ import annotations

import json

import numpy as np
import pytest

from hdgan.errors import BadConfig, BadInput, DamagedArtifact
from hdgan.generator.weights import FILE, save_generator
from hdgan.pipeline.blind import NUM_EACH, score_blind, write_blind
from hdgan.pipeline.subject import open_subject
from hdgan.store.atomic import read_image
from hdgan.store.layout import RunFolder

from .test_quality import SIZE_PX, labelled_network, write_run

LABELS = {"by": "patient", "names": ["p0", "p1", "p2"], "counts": [4, 4, 4]}
FACTOR, STRIP, GAP = 256 // SIZE_PX, 18, 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = write_run(tmp_path_factory.mktemp("run"), config={}, num_tiles=60)
    save_generator(root / "2-generator" / FILE, labelled_network(3), mpp=2.0, trained={"conditions": LABELS})
    return root


@pytest.fixture(scope="module")
def written(run):
    sheet, key = write_blind(run, slides=["p1"], psi=0.7, attribution="A. Painter, CC0")
    return read_image(sheet), json.loads(key.read_text())


def crop_of(sheet, number):
    """The crop with that number, at its own size."""
    row, column = divmod(number - 1, 8)
    top, left = GAP + row * (256 + STRIP + GAP) + STRIP, GAP + column * (256 + GAP)
    return sheet[top : top + 256 : FACTOR, left : left + 256 : FACTOR]


def test_half_of_the_crops_are_drawn_and_the_key_tells_which_is_what(run, written):
    sheet, key = written
    assert list(key["crops"]) == sorted(key["crops"])  # whatever the order of the file, all are there:
    assert {int(number) for number in key["crops"]} == set(range(1, 2 * NUM_EACH + 1))
    assert sum(crop["is_real"] for crop in key["crops"].values()) == NUM_EACH
    subject = open_subject(RunFolder(run), seed=0, condition="p1")
    draw, names = subject.drawing(psi=0.7), [row.name for row in subject.tiles.rows]
    for number, told in key["crops"].items():
        wanted = subject.crops([names.index(told["tile"])]).crop(told["crop"]) if told["is_real"] else draw(told["sample"], 1)[0]
        np.testing.assert_allclose(crop_of(sheet, int(number)).astype(int), wanted, atol=1)  # a batch draws as one image does, to rounding


def test_real_crops_are_of_the_slides_that_may_be_shown_and_of_different_tiles(written):
    _, key = written
    real = [crop for crop in key["crops"].values() if crop["is_real"]]
    assert {crop["slide"] for crop in real} == {"p1"}
    assert len({crop["tile"] for crop in real}) == NUM_EACH
    assert (key["attribution"], key["slides"], key["condition"], key["mpp"]) == ("A. Painter, CC0", ["p1"], "p1", 2.0)


def test_the_order_is_the_seeds_and_equal_calls_write_equal_bytes(run, written):
    def order(seed):
        sheet, key = write_blind(run, slides=["p1"], psi=0.7, seed=seed, attribution="A. Painter, CC0")
        found = json.loads(key.read_text())["crops"]
        return [found[str(i)]["is_real"] for i in range(1, 33)], sheet.read_bytes()

    first, other, again = order(0), order(1), order(0)
    assert first == again
    assert first[0] != other[0]
    assert first[0] != sorted(first[0])


def test_labels_of_several_slides_are_not_forced_on_the_samples(run):
    _, key = write_blind(run, slides=["p1", "p2"], psi=1.0, attribution="A. Painter")
    assert json.loads(key.read_text())["condition"] is None


def test_what_may_not_be_shown_is_not(run, tmp_path):
    with pytest.raises(BadConfig, match="name the slides that may be shown, with --may-show"):
        write_blind(run, slides=[], psi=1.0, attribution="A. Painter")
    with pytest.raises(BadConfig, match="no tile is from a slide 'p7'; slides are p0, p1, p2"):
        write_blind(run, slides=["p7"], psi=1.0, attribution="A. Painter")
    with pytest.raises(BadConfig, match="nothing says whose the real crops are"):
        write_blind(run, slides=["p1"], psi=1.0)
    held = write_run(tmp_path, config={"held_out_fold": 1})
    with pytest.raises(BadConfig, match="all tiles of p1 are held out"):
        write_blind(held, slides=["p1"], psi=1.0, attribution="A. Painter")


def test_the_settings_say_whose_the_crops_are(run):
    settings = '[run]\nname = "x"\n[tiles]\nslides = ["s"]\nmpp = 2.0\ntile_px = 48\n[generator]\nresolution = 32\n[dataset]\nattribution = "B. Painter"\n'
    (run / "config.toml").write_text(settings)
    _, key = write_blind(run, slides=["p1"], psi=1.0)
    (run / "config.toml").unlink()
    assert json.loads(key.read_text())["attribution"] == "B. Painter"


@pytest.fixture
def keyed(tmp_path):
    """A key of four: real, drawn, real, drawn."""
    (tmp_path / "quality").mkdir()
    crops = {str(i): {"is_real": i % 2 == 1} for i in range(1, 5)}
    (tmp_path / "quality" / "blind-key.json").write_text(json.dumps({"crops": crops}))
    return tmp_path


def answered(root, text):
    (root / "answers.csv").write_text(text)
    return score_blind(root, root / "answers.csv")


def test_answers_are_counted_with_an_interval(keyed):
    found = answered(keyed, "number,answer\n1,real\n2,Real\n3,drawn\n4,\n")
    assert (found.answered, found.right, found.left_out) == (3, 1, 1)
    assert (found.real_taken_for_drawn, found.drawn_taken_for_real) == (1, 1)
    assert 0 < found.low < found.share == 1 / 3 < found.high < 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("number,answer\n1,maybe\n", "line 2: the answer 'maybe' is neither real nor drawn"),
        ("number,answer\n1,real\n5,real\n", "line 3: '5' is no number of the sheet"),
        ("number,answer\n1,real\n1,real\n", "line 3: '1' is no number of the sheet, or stands twice"),
        ("number,answer\n", "holds no answer"),
        ("no,yes\n1,real\n", "neither real nor drawn"),
    ],
)
def test_answers_that_are_none_are_one_line(keyed, text, line):
    with pytest.raises(BadInput, match=line):
        answered(keyed, text)


def test_without_a_key_nothing_is_scored(keyed):
    (keyed / "quality" / "blind-key.json").write_text('{"crops": [1]}')
    with pytest.raises(DamagedArtifact, match="is no key"):
        answered(keyed, "number,answer\n1,real\n")
    (keyed / "quality" / "blind-key.json").unlink()
    with pytest.raises(BadInput, match="there is no key"):
        answered(keyed, "number,answer\n1,real\n")
