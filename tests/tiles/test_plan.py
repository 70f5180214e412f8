from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hdgan.errors import BadInput
from hdgan.progress import Silent
from hdgan.slides.protocol import Level
from hdgan.slides.table import Area, SlideEntry
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.plan import estimate, plan_slide, plan_slides


class Scan:
    """A slide of which only size and scale matter."""

    vendor = "drawn"
    path = "drawn.svs"

    def __init__(self, width, height, mpp):
        self.size_px, self.mpp = (width, height), mpp
        self.levels = (Level((width, height), 1.0), Level((width // 4, height // 4), 4.0))


ENTRY = SlideEntry("drawn", "drawn.svs", "P")


def plan(width, height, *, slide_mpp=0.5, areas=None, **settings):
    config = TilesConfig(**{"slides": ("x",), "mpp": 0.5, "tile_px": 64, **settings})
    return plan_slide(Scan(width, height, slide_mpp), replace(ENTRY, areas=areas), config)


def test_a_grid_covers_the_slide_and_leaves_what_does_not_hold_a_whole_tile():
    assert plan(200, 130).cells == ((0, 0), (64, 0), (128, 0), (0, 64), (64, 64), (128, 64))


def test_a_coarser_scale_takes_more_level_0_pixels():
    found = plan(1000, 600, slide_mpp=0.25, mpp=1.0, stride_px=32)
    assert found.level0_px == 256
    assert found.cells[:2] == ((0, 0), (128, 0))
    assert found.read_px == 64


def test_a_jpeg_of_512_px_at_half_a_um_gives_one_stored_tile_of_128_px_at_2_um(tmp_path):
    Image.fromarray(np.zeros((512, 512, 3), np.uint8)).save(tmp_path / "a.jpg")
    config = TilesConfig(slides=("a.jpg",), mpp=2.0, tile_px=64, margin=2, slide_mpp=0.5)
    (found,), _ = plan_slides(config, base=tmp_path)
    assert (found.level0_px, config.stored_px, found.cells) == (512, 128, ((0, 0),))


@pytest.mark.parametrize("slide_mpp", [0.491, 0.499, 0.5, 0.509])
def test_a_scale_within_two_percent_is_cut_pixel_by_pixel(slide_mpp):
    assert plan(500, 500, slide_mpp=slide_mpp).level0_px == 64


def test_a_finer_scale_than_the_slide_has_is_refused():
    with pytest.raises(BadInput, match=r"has 0\.52 um/px, coarser than the 0\.5 asked for; ask for 0\.52 .*column `mpp` of a slide table"):
        plan(500, 500, slide_mpp=0.52)
    with pytest.raises(BadInput, match=r"has 250 um/px, coarser than .* give its true scale where 250 is wrong"):
        plan(100_000, 80_000, slide_mpp=250)  # nm, and not too many tiles


def test_a_slide_without_scale_is_refused_unless_one_is_given_for_all():
    with pytest.raises(BadInput, match="--mpp"):
        plan(500, 500, slide_mpp=None)
    config = TilesConfig(slides=("x",), mpp=0.5, tile_px=64, slide_mpp=0.25)
    assert plan_slide(Scan(500, 500, None), ENTRY, config).level0_px == 128


def test_an_image_cut_to_size_beforehand_still_holds_its_tile():
    found = plan(512, 600, slide_mpp=0.496, mpp=2.0, tile_px=128)
    assert found.level0_px == 512
    assert found.cells == ((0, 0),)
    assert plan(500, 600, slide_mpp=0.49, mpp=2.0, tile_px=128).cells == ()


def test_cells_lie_whole_in_the_union_of_the_areas():
    areas = (Area(0, 0, 100, 200), Area(100, 0, 100, 100))
    cells = plan(300, 300, areas=areas, stride_px=50, tile_px=100).cells
    assert cells == ((0, 0), (50, 0), (100, 0), (0, 50), (0, 100))


@settings(max_examples=60)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.floats(0.2, 1.0),
    st.floats(1.0, 4.0),
    st.integers(8, 300),
    st.integers(1, 300),
    st.floats(1, 2),
)
def test_no_cell_sticks_out_and_none_is_there_twice(width, height, slide_mpp, mpp, tile_px, stride_px, margin):
    found = plan(width, height, slide_mpp=slide_mpp, mpp=mpp, tile_px=tile_px, stride_px=stride_px + 20, margin=margin)
    assert len(set(found.cells)) == len(found.cells)
    assert all(x >= 0 and y >= 0 and x + found.level0_px <= width and y + found.level0_px <= height for x, y in found.cells)
    if min(width, height) >= found.level0_px:
        assert (0, 0) in found.cells


def test_an_estimate_counts_cells_and_names_what_cannot_be_cut(cohort, config):
    (cohort / "broken.svs").write_bytes(b"x")
    found = estimate(config.model_copy(update={"slides": ("slides.csv", "broken.svs")}), base=cohort)
    plans, problems = plan_slides(config, base=cohort)
    assert not problems
    assert (found.num_slides, found.num_cells) == (3, sum(len(each.cells) for each in plans))
    assert found.bytes > 0
    assert found.seconds > 0
    assert len(found.problems) == 1
    assert "broken.svs" in found.problems[0]


def test_a_scale_of_the_table_that_contradicts_the_file_is_told_and_counts(cohort, config):
    class Notes(Silent):
        def __init__(self):
            self.lines = []

        def say(self, line):
            self.lines.append(line)

    (cohort / "slides.csv").write_text("path,mpp\na1.tif,5\na2.tif,0.5\nb1.tif,\n")
    notes = Notes()
    plans, problems = plan_slides(config.model_copy(update={"asked_mpp": 5.0}), base=cohort, progress=notes)
    assert not problems
    assert [plan.slide_mpp for plan in plans] == [5.0, 0.5, 0.5]
    (line,) = notes.lines
    assert line.startswith(f"{cohort / 'a1.tif'}: is taken to have 5 um/px")
    assert "states 0.5" in line
