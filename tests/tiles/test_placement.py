from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hdgan.errors import BadConfig
from hdgan.slides.regions.read import Outline
from hdgan.tiles.placement import centred, chosen, covered_px2, intersecting
from hdgan.tiles.placement_config import PlacementConfig

SIZE = (300, 200)
GRID = tuple((x, y) for y in range(0, 200, 50) for x in range(0, 300, 50))
blobs = st.tuples(st.integers(10, 290), st.integers(10, 190), st.integers(1, 10))


def outline(x, y, radius, name="a", number=1):
    return Outline(number, name, shapely.Point(x, y).buffer(radius, quad_segs=4).intersection(shapely.box(0, 0, *SIZE)))


def around(outlines, *, edge_px=60, slide_mpp=0.5, slide="s", seed=0, size_px=SIZE, **placement):
    config = PlacementConfig(way="centred", **placement)
    return centred(outlines, config, edge_px=edge_px, size_px=size_px, slide_mpp=slide_mpp, slide=slide, seed=seed)


def test_classes_are_chosen_by_name_and_what_qupath_ignores_is_not():
    held = [outline(50, 50, 5, name) for name in ("Glomerulus", "glomerulus: sclerosed", "artery", "", "Ignore*")]

    def names(**placement):
        return [entry.class_name for entry in chosen(held, PlacementConfig(**placement))]

    assert names() == ["Glomerulus", "glomerulus: sclerosed", "artery", ""]
    assert names(classes=("glomerulus",)) == ["Glomerulus", "glomerulus: sclerosed"]
    assert names(classes=("glomerulus",), not_classes=("glomerulus: sclerosed",)) == ["Glomerulus"]
    assert names(not_classes=("glomerulus", "")) == ["artery"]
    assert names(classes=("ignore*",)) == ["Ignore*"]


def test_cells_are_those_that_hold_enough_of_the_regions_together():
    square = Outline(1, "a", shapely.box(40, 10, 60, 20))
    again = Outline(2, "b", shapely.box(45, 10, 60, 20))

    def cells(**placement):
        return intersecting(GRID, [square, again], PlacementConfig(way="intersecting", **placement), edge_px=50, slide_mpp=0.5)

    assert cells() == ((0, 0), (50, 0))
    assert cells(min_area_um2=25.0) == ((0, 0), (50, 0))  # 100 px2 in each, of 0.25 um2
    assert cells(min_area_um2=25.1) == ()
    assert cells(min_share=0.04) == ((0, 0), (50, 0))
    assert cells(min_share=0.041) == ()
    assert intersecting(GRID, [], PlacementConfig(way="intersecting"), edge_px=50, slide_mpp=0.5) == ()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(10, 290), st.integers(10, 190), st.integers(1, 150)), max_size=6))
def test_the_covered_area_is_that_of_each_cell_taken_alone(drawn):
    shapes = [outline(*blob).shape for blob in drawn]
    union = shapely.union_all(shapes)
    plain = [union.intersection(shapely.box(x, y, x + 50, y + 50)).area for x, y in GRID]
    assert covered_px2(GRID, shapes, edge_px=50) == pytest.approx(plain, abs=1e-6)


@settings(max_examples=100)
@given(st.lists(blobs, min_size=1, max_size=5), st.floats(0.5, 14.5), st.integers(1, 3), st.integers(0, 5))
def test_each_tile_lies_in_the_slide_and_holds_its_object_within_the_jitter(drawn, jitter_um, num, seed):
    held = [outline(*blob) for blob in drawn]
    cells = around(held, jitter_um=jitter_um, tiles_per_object=num, seed=seed)
    assert len(set(cells)) == len(cells)
    assert list(cells) == sorted(cells, key=lambda xy: (xy[1], xy[0]))
    for x, y in cells:
        assert 0 <= x <= SIZE[0] - 60
        assert 0 <= y <= SIZE[1] - 60
    for entry in held:
        alone = around([entry], jitter_um=jitter_um, tiles_per_object=num, seed=seed)
        assert set(alone) <= set(cells)  # other objects move none
        for x, y in alone:
            middle = np.array([entry.shape.centroid.x, entry.shape.centroid.y])
            assert shapely.box(x, y, x + 60, y + 60).covers(entry.shape.centroid)
            wanted = np.clip(middle - 30, 0, np.array(SIZE) - 60)
            assert np.all(np.abs(np.array([x, y]) - wanted) <= jitter_um / 0.5 + 0.5 + 1e-6)


def test_without_jitter_a_tile_is_centred_and_equal_objects_give_one():
    assert around([outline(100, 80, 5), outline(100, 80, 5, number=2), outline(100, 80, 5, "b")]) == ((70, 50),)
    assert around([outline(3, 198, 5)]) == ((0, 140),)


def test_draws_are_of_seed_slide_object_and_number():
    held = [outline(150, 100, 5)]
    first = around(held, jitter_um=10)
    assert around([outline(150, 100, 5, number=7)], jitter_um=10) == first  # not of its place in the file
    assert around(held, jitter_um=10, seed=1) != first
    assert around(held, jitter_um=10, slide="t") != first
    assert around([outline(150, 100, 5, "b")], jitter_um=10) != first
    assert len(around(held, jitter_um=10, tiles_per_object=5)) == 5


def test_a_class_may_have_a_number_of_tiles_of_its_own():
    held = [outline(100, 80, 5, "Glomerulus: sclerosed"), outline(200, 80, 5, "artery"), outline(150, 150, 5, "vein")]

    def counted(**numbers):
        placement = {"jitter_um": 10, "tiles_per_object": 2, "tiles_per_object_of": numbers}
        return [len(around([entry], **placement)) for entry in held]

    assert counted() == [2, 2, 2]
    assert counted(glomerulus=7, artery=1) == [7, 1, 2]
    assert counted(**{"glomerulus": 7, "glomerulus: sclerosed": 4}) == [4, 2, 2]  # the closer name says
    assert counted(**{"glomerulus: sclerosed": 4, "glomerulus": 7}) == [4, 2, 2]
    some = set(around(held, jitter_um=10, tiles_per_object=2))
    assert some < set(around(held, jitter_um=10, tiles_per_object=2, tiles_per_object_of={"artery": 5}))  # the first draws stay


def test_small_objects_are_passed_over_and_a_slide_smaller_than_a_tile_gives_none():
    held = [outline(100, 80, 5), outline(200, 80, 1)]
    assert len(around(held)) == 2
    assert len(around(held, min_area_um2=5)) == 1
    assert around(held, edge_px=201) == ()


def test_a_jitter_that_could_lose_the_object_is_refused():
    assert around([outline(150, 100, 5)], jitter_um=14.5)
    with pytest.raises(BadConfig, match=r"give at most 14\.5"):
        around([outline(150, 100, 5)], jitter_um=14.6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"way": "centred", "tiles_per_object": 2},
        {"way": "grid", "jitter_um": 1},
        {"way": "intersecting", "tiles_per_object": 2, "jitter_um": 1},
        {"way": "centred", "tiles_per_object_of": {"artery": 2}},
        {"way": "centred", "tiles_per_object_of": {"artery": 0}, "jitter_um": 1},
        {"way": "centred", "tiles_per_object_of": {"artery": 2}, "jitter_um": 1, "classes": ("glomerulus",)},
        {"way": "grid", "tiles_per_object_of": {"artery": 1}},
        {"way": "centred", "min_share": 0.1},
        {"way": "random"},
        {"min_share": 1.5},
        {"min_area_um2": -1},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        PlacementConfig(**wrong)
