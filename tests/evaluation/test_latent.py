from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.stage import fit_ensemble
from hdgan.evaluation.latent import balanced_pixels, block_rows, contour_rows, groups_of, layer_rows, look, probes
from hdgan.evaluation.latent_page import build_latent_page, seen_sheet
from hdgan.generator.protocol import TapSpec, to_uint8
from hdgan.labels import KIDNEY
from hdgan.testing.analytic import AnalyticGenerator

GENERATOR = AnalyticGenerator(32)
TAPS = GENERATOR.taps(4)
TRAIN, HELD_OUT = tuple("abcdefgh"), ("x", "y")


def drawn(name):
    w = GENERATOR.map(torch.randn(1, GENERATOR.z_dim, generator=torch.Generator().manual_seed(ord(name))), psi=0.7)
    image, maps = GENERATOR.render_taps(w, num_blocks=4)
    return to_uint8(image)[0], tuple(m[0] for m in maps), GENERATOR.exact_mask(w)[0]


class Exact:
    """The analytic generator's own masks."""

    classes = KIDNEY

    def mask(self, name):
        return drawn(name)[2]

    def blend(self, name):
        return np.zeros((32, 32), bool)


def maps_of(name):
    return drawn(name)[1]


@pytest.fixture(scope="module")
def found():
    groups = groups_of(TAPS)
    fitted = probes(maps_of, Exact(), groups, train=TRAIN, seed=0)
    config = ClassifierConfig(hidden=(16, 8), members=1, epochs=6, batch_pixels=512, pixels_per_image=400)
    images = [(maps_of(name), Exact().mask(name)) for name in TRAIN]
    facts = {"num_blocks": 4, "generator_hash": "", "annotator": "exact"}
    ensemble, _ = fit_ensemble(images, [], config, classes=KIDNEY, taps=TAPS, facts=facts, seed=0)
    looked = list(look(maps_of, Exact(), groups, fitted, ensemble, names=HELD_OUT))
    seen = [one for one, _ in looked]
    matrices = {group.name: sum(matrix[group.name] for _, matrix in looked) for group in groups}
    return groups, seen, matrices


def test_groups_are_each_layer_each_block_and_all():
    taps = [TapSpec("b4.conv1", 8, 4), TapSpec("b8.conv0", 6, 8), TapSpec("b8.conv1", 6, 8), TapSpec("image", 3, 8)]
    groups = groups_of(taps)
    assert [(g.name, g.kind, g.places, g.channels) for g in groups] == [
        ("b4.conv1", "layer", (0,), 8),
        ("b8.conv0", "layer", (1,), 6),
        ("b8.conv1", "layer", (2,), 6),
        ("image", "layer", (3,), 3),
        ("b4", "block", (0,), 8),
        ("b8", "block", (1, 2), 12),
        ("image", "block", (3,), 3),
        ("all", "all", (0, 1, 2, 3), 23),
    ]


def test_all_layers_know_more_than_any_one_of_a_generator_that_spreads_meaning_over_scales(found):
    groups, _, matrices = found
    rows = layer_rows(groups, matrices)
    dice = {(row["kind"], row["name"]): row["macro_dice"] for row in rows}
    assert all(matrix.sum() == 2 * 32 * 32 for matrix in matrices.values())
    assert dice["all", "all"] > max(value for (kind, _), value in dice.items() if kind == "layer") + 0.05
    assert len(rows) == len(TAPS) + 4 + 1


def test_errors_and_small_margins_lie_along_contours_and_every_pixel_is_in_one_range(found):
    _, seen, _ = found
    rows = contour_rows(seen)
    assert sum(row["pixels"] for row in rows) == 2 * 32 * 32
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    beside, beyond = rows[0], rows[2]
    assert beside["errors"] > beyond["errors"]
    assert beside["margin"] < beyond["margin"]
    assert beside["disagree"]["b4"] > 0.1


def test_a_block_is_right_as_often_as_its_mask_says(found):
    _, seen, _ = found
    rows = {row["name"]: row for row in block_rows(seen)}
    for name, row in rows.items():
        near = np.concatenate([one.blocks[name][near_of(one.truth)] == one.truth[near_of(one.truth)] for one in seen])
        assert row["near"] == pytest.approx(near.mean())
        wrong = np.concatenate([(one.blocks[name] == one.truth)[near_of(one.truth) & (one.mask != one.truth)] for one in seen])
        assert row["near_where_wrong"] == pytest.approx(wrong.mean())


def near_of(truth):
    """Pixels with another class at most two pixels away."""
    near = np.zeros(truth.shape, bool)
    padded = np.pad(truth.astype(int), 2, constant_values=-1)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            if dy * dy + dx * dx <= 4:
                other = padded[2 + dy : 34 + dy, 2 + dx : 34 + dx]
                near |= (other >= 0) & (other != truth)
    return near


def test_margins_are_the_chance_of_the_first_class_less_that_of_the_second(found):
    _, seen, _ = found
    for one in seen:
        assert one.margin.shape == (32, 32)
        assert 0 <= one.margin.min() <= one.margin.max() <= 1


def test_pixels_are_drawn_of_each_class_alike_and_never_where_nobody_labelled():
    mask = np.zeros((60, 60), np.uint8)
    mask[:30] = 1
    mask[0, :5] = 2
    mask[50:] = 255
    chosen = mask.ravel()[balanced_pixels(mask, draw=np.random.default_rng(0))]
    assert np.bincount(chosen).tolist() == [400, 400, 5]
    assert len(balanced_pixels(np.full((3, 3), 255, np.uint8), draw=np.random.default_rng(0))) == 0


def test_the_page_shows_tables_and_pictures(found):
    groups, seen, matrices = found
    sheet = seen_sheet(seen, [drawn(name)[0] for name in HELD_OUT], KIDNEY)
    assert sheet.shape == (2 * (164 + 18) + 4, 8 * 164 + 4, 3)  # each row under its name
    report = {
        "train": list(TRAIN),
        "images": list(HELD_OUT),
        "pixels": [900, 100, 0, 0, 1048],
        "annotator": "exact",
        "remark": "Painted.",
        "layers": layer_rows(groups, matrices),
        "contours": contour_rows(seen),
        "blocks": block_rows(seen),
    }
    page = build_latent_page(report, KIDNEY, sheet)
    for text in (
        "all layers",
        "b16.conv1",
        "beyond 8 px",
        ">beyond 8 px</text>",
        "Under b4, b8, b16, b32: how often",
        "Painted.",
        "arteriole 0 px (0.0 %), artery 1,048 px (51.2 %). The Dice of a class with few pixels",
        "data:image/png;base64,",
    ):
        assert text in page
