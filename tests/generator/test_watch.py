from __future__ import annotations

import numpy as np
import pytest

from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.watch import BEST, Criterion, Reference, concerns, is_best, new_concerns


def reports(num, **fields):
    return [{"images": 1000 * (i + 1), "ada_p": 0.3, "real_sign": 0.6, "loss_G": 1.0} | fields for i in range(num)]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"real_sign": 0.97}, "real_sign_high"), ({"real_sign": -0.1}, "real_sign_low"), ({"ada_p": 0.8}, "p_at_cap"), ({}, None)],
)
def test_what_lasts_for_ten_reports_is_warned_of(fields, kind):
    assert list(concerns(reports(10, **fields), p_max=0.8)) == ([kind] if kind else [])
    assert list(concerns(reports(10, **fields), p_max=None)) == ([kind] if kind and kind != "p_at_cap" else [])
    assert concerns(reports(9, **fields), p_max=0.8) == {}
    assert concerns(reports(10, **fields) + reports(10), p_max=0.8) == {}


def test_one_report_below_the_limit_is_no_chance_that_stays_there():
    rows = reports(10, ada_p=0.8)
    rows[4]["ada_p"] = 0.79
    assert concerns(rows, p_max=0.8) == {}


def test_colours_that_vary_less_than_half_as_much_as_they_did_are_warned_of():
    rows = [{"images": 1000 * i, "variety": value} for i, value in enumerate((0.2, 0.9, 0.6, 0.44))]
    assert concerns(rows[:3], p_max=0.8) == {}
    assert list(concerns(rows, p_max=0.8)) == ["variety_falls"]


def test_a_kind_of_warning_is_new_once():
    rows = reports(10, ada_p=0.8)
    assert list(new_concerns(rows, p_max=0.8)) == ["p_at_cap"]
    rows += [{"images": 10_000, "warning": "p_at_cap"}, *reports(1, ada_p=0.8)]
    assert new_concerns(rows, p_max=0.8) == {}


def test_the_best_is_strictly_better_than_all_before():
    def rows(*values):
        return [{"images": i, BEST.name: value} for i, value in enumerate(values)] + [{"images": 9, "ada_p": 0.1}]

    assert is_best(rows(3.0), BEST)
    assert is_best(rows(3.0, 2.0), BEST)
    assert not is_best(rows(3.0, 2.0, 2.0), BEST)
    assert not is_best([{"images": 1, "ada_p": 0.1}], BEST)
    assert is_best(rows(2.0, 3.0), Criterion(BEST.name, is_less_better=False))


@pytest.fixture
def stained():
    """Crops of tiles of many colours, each with the same texture."""
    draw = np.random.default_rng(0)
    texture = draw.normal(0, 10, (1, 16, 16, 1))
    return np.clip(draw.uniform(60, 200, (40, 1, 1, 3)) + texture, 0, 255).astype(np.uint8)


def test_tiles_beside_themselves_vary_as_much_and_are_nearer_than_other_images(stained):
    crops = Crops(ArrayTiles(stained), chosen=range(40), size_px=16, seed=0)
    reference = Reference(crops, num=36)
    same = reference.compare(np.stack([crops.crop(i) for i in range(36)]))
    assert same["variety"] == pytest.approx(1, abs=0.25)
    grey = reference.compare(np.full((36, 16, 16, 3), 130, dtype=np.uint8))
    assert grey["variety"] == 0
    assert grey["patch_distance"] > 2 * same["patch_distance"]


def test_shrunk_samples_are_compared_with_crops_shrunk_as_much(stained):
    crops = Crops(ArrayTiles(np.repeat(np.repeat(stained, 2, axis=1), 2, axis=2)), chosen=range(40), size_px=32, seed=0)
    small = np.stack([crops.crop(i)[::2, ::2] for i in range(36)])
    assert Reference(crops, num=36).compare(small)["variety"] == pytest.approx(1, abs=0.25)
