from __future__ import annotations

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.errors import DamagedArtifact
from hdgan.slides.regions.read import Outline
from hdgan.tiles.hits import Hit, hits_of, read_hits, write_hits

GRID = tuple((x, y) for y in range(0, 100, 20) for x in range(0, 100, 20))
boxes = st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 10), st.integers(1, 10))
outlines = st.lists(st.tuples(boxes, st.sampled_from(["a", "b"])), max_size=8)


def outline(box, name, number=1):
    x, y, width, height = box
    return Outline(number, name, shapely.box(x, y, x + width, y + height))


@settings(max_examples=100)
@given(outlines)
def test_areas_in_the_cells_of_a_whole_grid_add_up_to_the_area_of_each_class(drawn):
    held = [outline(box, name) for box, name in drawn]
    hits = hits_of("s", GRID, held, edge_px=20, slide_mpp=0.5)
    assert list(hits) == sorted(hits, key=lambda hit: (hit.y_px, hit.x_px, hit.class_name))
    for name in ("a", "b"):
        whole = shapely.union_all([entry.shape for entry in held if entry.class_name == name]).area
        assert sum(hit.area_um2 for hit in hits if hit.class_name == name) == pytest.approx(whole * 0.25, abs=0.2)
    for hit in hits:
        cell = shapely.box(hit.x_px, hit.y_px, hit.x_px + 20, hit.y_px + 20)
        mine = [entry for entry in held if entry.class_name == hit.class_name and entry.shape.intersection(cell).area > 0]
        assert hit.objects == len(mine)
        assert hit.area_um2 == pytest.approx(shapely.union_all([entry.shape for entry in mine]).intersection(cell).area * 0.25, abs=0.01)


def test_overlapping_outlines_of_a_class_count_once_and_a_hole_not_at_all():
    ring = shapely.Polygon([(0, 0), (10, 0), (10, 10), (0, 10)], [[(2, 2), (4, 2), (4, 4), (2, 4)]])
    held = [Outline(1, "a", ring), outline((0, 0, 10, 2), "a", 2), outline((5, 5, 30, 2), "b", 3)]
    assert hits_of("s", ((0, 0), (20, 0), (40, 0)), held, edge_px=20, slide_mpp=1.0) == (
        Hit("s", 0, 0, "a", 96.0, 2),
        Hit("s", 0, 0, "b", 30.0, 1),
        Hit("s", 20, 0, "b", 30.0, 1),
    )


def test_an_outline_that_only_touches_a_cell_is_not_in_it():
    assert hits_of("s", ((20, 0),), [outline((0, 0, 20, 20), "a")], edge_px=20, slide_mpp=1.0) == ()


def test_hits_are_read_as_they_were_written(tmp_path):
    hits = (Hit("s", 0, 20, "glomerulus: a, b", 12.34, 2), Hit("s", 20, 20, "", 0.0, 1))
    write_hits(tmp_path / "regions.csv", hits)
    assert read_hits(tmp_path / "regions.csv") == hits
    assert read_hits(tmp_path / "none.csv") == ()


@pytest.mark.parametrize("text", ["slide,x_px\n1,2\n", "slide,x_px,y_px,class,area_um2,objects\ns,1,2,a\n"])
def test_a_damaged_list_is_one_line(tmp_path, text):
    (tmp_path / "regions.csv").write_text(text)
    with pytest.raises(DamagedArtifact, match="is no list of regions"):
        read_hits(tmp_path / "regions.csv")
