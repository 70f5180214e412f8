from __future__ import annotations

import numpy as np
import pytest

from hdgan.labels import KIDNEY, ClassMap, LabelClass
from hdgan.plots.proposals import Proposal, enlarged, grid_step, outlined, proposal_pages, proposal_row


def proposal(name="000007", edge=64):
    rng = np.random.default_rng(3)
    mask = np.ones((edge, edge), np.uint8)
    mask[8:24, 16:40] = 2
    return Proposal(name, rng.integers(60, 120, (edge, edge, 3), dtype=np.uint8), mask)


def test_every_pixel_of_image_and_mask_is_a_square_on_the_row_but_for_grid_and_outlines():
    shown = proposal()
    row = proposal_row(shown, KIDNEY)
    height = 64 * 6
    left, right = 10 + 28, 10 + 28 + 2 * (height + 28 + 10)
    top = row.shape[0] - 10 - height
    image, colours = (row[top : top + height, x : x + height] for x in (left, right))
    assert np.array_equal(image[3::6, 3::6], shown.image)  # the middle of a square is on no grid line
    assert {tuple(colour) for colour in colours[3::6, 3::6].reshape(-1, 3)} == {KIDNEY.classes[1].rgb, KIDNEY.classes[2].rgb}
    assert tuple(colours[8 * 6 + 3, 16 * 6 + 3]) == KIDNEY.classes[2].rgb


def test_grid_lines_lie_on_the_upper_and_left_edge_of_every_eighth_pixel():
    flat = Proposal("000000", np.full((64, 64, 3), 100, np.uint8), np.ones((64, 64), np.uint8))
    row = proposal_row(flat, KIDNEY)
    image = row[row.shape[0] - 10 - 384 : row.shape[0] - 10, 38 : 38 + 384]
    assert np.flatnonzero(image[5, :, 0] != 100).tolist() == list(range(48, 384, 48))
    assert np.flatnonzero(image[:, 5, 0] != 100).tolist() == list(range(48, 384, 48))


def test_an_outline_has_the_colour_of_the_class_on_either_side_and_black_between():
    mask = np.ones((4, 8), np.uint8)
    mask[:, 4:] = 2
    mask[:, 7:] = 255
    large = enlarged(mask, 8)
    picture = outlined(np.full((*large.shape, 3), 77, np.uint8), large, KIDNEY)
    inside, outside, black = KIDNEY.classes[2].rgb, KIDNEY.classes[1].rgb, (0, 0, 0)
    assert [tuple(pixel) for pixel in picture[9, 28:36]] == [(77,) * 3, outside, outside, black, black, inside, inside, (77,) * 3]
    assert [tuple(pixel) for pixel in picture[9, 52:60]] == [(77,) * 3, inside, inside, black, black, black, black, (77,) * 3]


@pytest.mark.parametrize(("factor", "step"), [(6, 8), (4, 8), (3, 16), (1, 32)])
def test_grid_lines_keep_room_for_their_numbers(factor, step):
    assert grid_step(factor) == step


def test_pages_hold_as_many_samples_as_asked_for_and_the_last_one_the_rest():
    pages = list(proposal_pages([proposal(f"{i:06d}") for i in range(5)], KIDNEY, per_page=2))
    row = proposal_row(proposal(), KIDNEY).shape[0]
    assert [page.shape[0] // row for page in pages] == [2, 2, 1]
    assert len({page.shape[1] for page in pages}) == 1
    with pytest.raises(ValueError, match="no sample"):
        list(proposal_pages([], KIDNEY))


def test_images_larger_than_a_cell_are_shown_pixel_by_pixel():
    large = Proposal("000000", np.full((500, 500, 3), 100, np.uint8), np.ones((500, 500), np.uint8))
    assert proposal_row(large, KIDNEY).shape[1] == 3 * (500 + 28 + 10) + 10


def test_the_key_tells_classes_apart_whose_names_are_in_letters_of_other_languages():
    def page(*names):
        classes = ClassMap(tuple(LabelClass(name, "#808080") for name in names))
        (found,) = proposal_pages([Proposal("000000", np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8))], classes)
        return found

    assert not np.array_equal(page("мозг", "кора"), page("кора", "мозг"))
    assert not np.array_equal(page("ää", "b"), page("ßß", "b"))


def test_black_has_a_place_in_the_key_where_a_mask_is_not_annotated_all_over():
    white = ClassMap(tuple(LabelClass(name, "#ffffff") for name in "ab"))

    def has_black_square(value):
        mask = np.zeros((64, 64), np.uint8)
        mask[0] = value
        (page,) = proposal_pages([Proposal("000000", np.full((64, 64, 3), 255, np.uint8), mask)], white)
        black = (page[10:24] == 0).all(axis=(0, 2))  # the rows of the squares
        return bool((np.convolve(black, np.ones(14), "valid") == 14).any())

    assert has_black_square(255)
    assert not has_black_square(1)
