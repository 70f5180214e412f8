from __future__ import annotations

import json

import numpy as np
import pytest

from hdgan.annotations.geojson import Region
from hdgan.annotations.regions import ClassNames, paint, read_mapping, region_area
from hdgan.errors import BadInput, BadMask
from hdgan.labels import KIDNEY, ClassMap, LabelClass

SHAPE = (10, 12)


def box(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=float)


def region(number, name, *rings):
    return Region(number, name, tuple((ring,) for ring in rings))


LARGE, SMALL = box(0, 0, 8, 8), box(2, 2, 5, 5)


@pytest.mark.parametrize(("order", "inner"), [("area", 2), ("file", 1), ("class", 2)])
def test_the_drawing_order_decides_what_lies_on_top(order, inner):
    drawn = [region(1, "glomerulus", SMALL), region(2, "cortical tubulointerstitium", LARGE)]
    mask = paint(drawn, ClassNames(KIDNEY), shape=SHAPE, order=order)
    assert mask[3, 3] == inner
    assert mask[6, 6] == 1
    assert mask[9, 9] == 255
    turned = paint(drawn[::-1], ClassNames(KIDNEY), shape=SHAPE, order=order)
    assert turned[3, 3] == 2


def test_class_order_lays_a_small_early_class_under_a_large_late_one():
    drawn = [region(1, "artery", LARGE), region(2, "whitespace", SMALL)]
    assert paint(drawn, ClassNames(KIDNEY), shape=SHAPE, order="class")[3, 3] == 4
    assert paint(drawn, ClassNames(KIDNEY), shape=SHAPE, order="area")[3, 3] == 0


def test_a_hole_shows_what_lies_below_and_the_background_fills_the_rest():
    ring_shaped = Region(2, "artery", ((LARGE, SMALL),))
    below = region(1, "glomerulus", box(0, 0, 9, 9))
    mask = paint([ring_shaped, below], ClassNames(KIDNEY), shape=SHAPE, background=0)
    assert (mask[3, 3], mask[1, 1], mask[8, 8], mask[9, 11]) == (2, 4, 2, 0)


def test_names_fit_with_any_capitals_and_qupaths_ignored_class_is_not_labelled():
    drawn = [region(1, "GLOMERULUS", LARGE), region(2, "Ignore*", SMALL)]
    mask = paint(drawn, ClassNames(KIDNEY), shape=SHAPE, background=1)
    assert (mask[3, 3], mask[7, 7], mask[9, 9]) == (255, 2, 1)


def test_a_mapping_gives_foreign_names_a_class_or_leaves_them_out():
    names = ClassNames(KIDNEY, {"Tuft": "Glomerulus", "dirt": "ignore", "Frame": None, "": None})
    drawn = [region(1, "", LARGE), region(2, "frame", LARGE), region(3, "tuft", LARGE), region(4, "Dirt", SMALL)]
    mask = paint(drawn, names, shape=SHAPE, background=0)
    assert (mask[7, 7], mask[3, 3], mask[9, 9]) == (2, 255, 0)


@pytest.mark.parametrize(
    ("name", "told"), [("Medulla", "feature 3 has the unknown class 'Medulla'; known are whitespace"), ("", "feature 3 has no class")]
)
def test_an_unknown_class_is_refused_by_its_name(name, told):
    with pytest.raises(BadMask, match=told):
        paint([region(3, name, LARGE)], ClassNames(KIDNEY), shape=SHAPE)


def test_a_region_outside_of_the_image_is_refused_and_one_across_its_edge_is_cut():
    with pytest.raises(BadMask, match="feature 1 lies outside of the image of 12 x 10 px"):
        paint([region(1, "artery", box(40, 40, 50, 50))], ClassNames(KIDNEY), shape=SHAPE)
    assert (paint([region(1, "artery", box(-5, -5, 2, 3))], ClassNames(KIDNEY), shape=SHAPE) == 4).sum() == 6


def test_classes_that_differ_by_capitals_only_need_their_exact_name():
    classes = ClassMap((LabelClass("a", "#000000"), LabelClass("A", "#ffffff"), LabelClass("b", "#00ff00")))
    names = ClassNames(classes)
    assert [names.value(name, where="x", number=1) for name in ("a", "A", "B")] == [0, 1, 2]
    with pytest.raises(BadMask, match="unknown class 'á'"):
        names.value("á", where="x", number=1)


def test_a_mapping_file_is_checked_before_it_is_used(tmp_path):
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps({"Tuft": "glomerulus", "Frame": None}))
    assert read_mapping(path) == {"Tuft": "glomerulus", "Frame": None}
    path.write_text(json.dumps(["Tuft"]))
    with pytest.raises(BadInput, match="not a class mapping"):
        read_mapping(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_mapping(tmp_path / "absent.json")
    with pytest.raises(BadInput, match="'Tuft' stands for unknown class 'medulla'"):
        ClassNames(KIDNEY, {"Tuft": "medulla"})


def test_a_region_that_geos_cannot_repair_has_an_area():
    shell, hole = np.zeros((3, 2)), np.array([[0.0, 1], [0, 2], [1, 0]])
    assert region_area(Region(1, "artery", ((shell, hole),))) == 0


def test_the_area_of_a_region_counts_overlaps_once_and_crossed_rings_even_odd():
    assert region_area(region(1, "a", LARGE, SMALL)) == 64
    bow_tie = np.array([[0, 0], [4, 4], [4, 0], [0, 4]], dtype=float)
    assert region_area(region(1, "a", bow_tie)) == 8
    assert region_area(region(1, "a", np.array([[0, 0], [4, 4], [2, 2]], dtype=float))) == 0


def test_an_accented_letter_is_the_same_whether_it_is_written_as_one_character_or_two():
    one, two = "Gef\u00e4\u00df", "Gefa\u0308\u00df"
    for known, drawn in ((one, two), (two, one)):
        classes = ClassMap((LabelClass("a", "#000000"), LabelClass(known, "#111111")))
        assert ClassNames(classes).value(drawn, where="x", number=1) == 1
    assert ClassNames(KIDNEY, {one: "artery"}).value(two, where="x", number=1) == 4
