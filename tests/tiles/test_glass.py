from __future__ import annotations

import numpy as np
import pytest

from hdgan.tiles.background import ASSUMED_WHITE, is_background, white_point
from hdgan.tiles.glass import find_glass
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide

from .test_background import STAINS, glass_with

ODD_GLASS = [(188, 189, 190), (180, 180, 178), (250, 240, 210), (245, 240, 212)]


@pytest.mark.parametrize("tissue", STAINS.values(), ids=STAINS)
@pytest.mark.parametrize("glass", ODD_GLASS, ids=["dark", "darker", "yellow", "brownish"])
def test_tissue_is_told_from_dark_and_from_tinted_glass_and_it_is_said(tissue, glass):
    tissue = tuple(min(t, g - 32) for t, g in zip(tissue, glass, strict=True))
    pixels = glass_with(tissue, glass=glass)
    assert np.array_equal(white_point(pixels), ASSUMED_WHITE)
    found = find_glass(pixels, mpp=8.0)
    assert np.abs(found.white.astype(int) - glass).max() <= 3
    assert "darker or more tinted than glass usually is" in found.note
    mask = is_background(pixels, white=found.white, white_distance=8)
    assert mask[:, :48].mean() > 0.99
    assert mask[:, 50:].mean() < 0.02


@pytest.mark.parametrize("glass", [(243, 243, 243), (216, 208, 221), (250, 248, 230)])
def test_usual_glass_is_found_as_ever_and_nothing_is_said(glass):
    pixels = glass_with((120, 90, 160), glass=glass)
    found = find_glass(pixels, mpp=8.0)
    assert np.array_equal(found.white, white_point(pixels))
    assert found.note == ""


def test_dark_glass_is_found_in_an_overview_that_is_finer_and_noisy_and_beside_what_was_never_scanned():
    rng = np.random.default_rng(0)
    pixels = np.repeat(np.repeat(glass_with((120, 90, 160), glass=(160, 161, 163)), 8, axis=0), 8, axis=1)
    pixels = (pixels + rng.normal(0, 5, pixels.shape)).clip(0, 254).astype(np.uint8)
    pixels[:100] = 255
    found = find_glass(pixels, mpp=1.0)
    assert np.abs(found.white.astype(int) - (160, 161, 163)).max() <= 3


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_an_even_area_is_no_glass_where_much_is_brighter(share):
    """Glass holds back no light; what is a little of the slide may be a reflection."""
    pixels = np.full((200, 200, 3), (185, 150, 170), np.uint8)
    pixels[: round(200 * share)] = (255, 190, 220)
    found = find_glass(pixels, mpp=8.0)
    assert ("assumed" in found.note) == (share > 0.02)


@pytest.mark.parametrize(
    "pixels",
    [
        glass_with((180, 110, 160), share=1.0),
        glass_with((150, 150, 150), share=1.0),
        np.zeros((60, 100, 3), np.uint8),
        np.full((60, 100, 3), 255, np.uint8),
        np.full((2, 3, 3), 188, np.uint8),
    ],
    ids=["tissue", "grey tissue", "black", "never scanned", "smaller than a block"],
)
def test_without_glass_a_white_is_assumed_and_that_is_said(pixels):
    found = find_glass(pixels, mpp=8.0)
    assert np.array_equal(found.white, ASSUMED_WHITE)
    assert found.note.startswith("white point assumed (240, 240, 240): no glass was found")


def test_a_slide_of_unusual_glass_is_cut_as_others_and_named_in_manifest_and_report(tmp_path, cohort, config):
    plain = run_tiles(config, out=tmp_path / "plain", seed=0, base=cohort)
    dark = paint(seed=0).astype(float) - (53, 51, 52)
    write_slide(cohort / "a1.tif", dark.clip(0, 255).astype(np.uint8))
    manifest = run_tiles(config, out=tmp_path / "out", seed=0, base=cohort)
    assert manifest.counts["tiles"] == plain.counts["tiles"]
    notes = [line for line in manifest.counts["warnings"] if "white point" in line]
    assert [line.partition(":")[0] for line in notes] == ["a1"]
    assert not [line for line in plain.counts["warnings"] if "white point" in line]
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"<td>a1</td><td>{notes[0].removeprefix('a1: ')}</td>" in page
