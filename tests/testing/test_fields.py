from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.testing.cells import scatter
from hdgan.testing.fields import Window, grain, hashed, smooth, specks, step

WHOLE = Window(0, 0, 96, 80, 0.7)


@settings(max_examples=25)
@given(x=st.integers(0, 90), y=st.integers(0, 70), width=st.integers(1, 60), height=st.integers(1, 60))
def test_a_field_is_the_same_in_every_window(x: int, y: int, width: int, height: int) -> None:
    part = Window(x, y, min(width, 96 - x), min(height, 80 - y), 0.7)
    place = WHOLE.slices(part)
    assert np.array_equal(smooth(part, 9.0, 5), smooth(WHOLE, 9.0, 5)[place])
    assert np.array_equal(grain(part, 5), grain(WHOLE, 5)[place])
    dots = {"spacing_um": 8.0, "radius_um": 2.5, "share": 0.6, "key": 3}
    assert np.array_equal(specks(part, **dots), specks(WHOLE, **dots)[place])


@settings(max_examples=10)
@given(x=st.integers(0, 90), y=st.integers(0, 70))
def test_cells_and_the_reach_inside_them_are_the_same_in_every_window(x: int, y: int) -> None:
    part = Window(x, y, 6, 10, 0.7)
    measured = []
    for window in (WHOLE, part):
        seeds = scatter(window, spacing_um=12.0, key=9, warp_um=2.0)
        cells = seeds.cells(window)
        reach = seeds.reach(np.full((1, seeds.x_um.size), 0.4, np.float32), np.full(seeds.x_um.size, 2.0, np.float32))
        place = window.slices(part) if window is WHOLE else (slice(None), slice(None))
        measured.append([field[place] for field in (cells.depth_um, cells.dx_um, reach[0][cells.index])])
    for whole, alone in zip(*measured, strict=True):
        assert np.array_equal(whole, alone)


def test_the_nearest_seed_agrees_with_a_search_among_all_of_them() -> None:
    window = Window(0, 0, 60, 60, 1.0)
    seeds = scatter(window, spacing_um=15.0, key=2)
    index, _ = seeds.measure(window.x_um[None, :] + np.zeros((60, 1), np.float32), window.y_um[:, None] + np.zeros((1, 60), np.float32))
    dx = window.x_um[None, :, None] - seeds.x_um
    dy = window.y_um[:, None, None] - seeds.y_um
    xx, xy, yy = seeds.metric
    best = (xx * dx**2 + xy * dx * dy + yy * dy**2).argmin(axis=2)
    assert (best == index).mean() > 0.99  # a very elongated cell may reach past the 3 x 3 neighbours looked at


def test_no_cell_grows_where_a_hole_is() -> None:
    window = Window(0, 0, 100, 100, 1.0)
    seeds = scatter(window, spacing_um=10.0, key=2, holes=np.array([[50.0, 50.0, 30.0]]))
    live = seeds.penalty == 0
    assert np.array_equal(live, np.hypot(seeds.x_um - 50, seeds.y_um - 50) >= 30)
    outside = np.hypot(window.x_um[None, :] - 50, window.y_um[:, None] - 50) > 40
    assert live[seeds.cells(window).index[outside]].all()


def test_hashed_values_are_uniform_and_do_not_follow_their_neighbours() -> None:
    values = hashed(np.arange(-300, 300)[None, :], np.arange(-300, 300)[:, None], 77)
    assert abs(values.mean() - 0.5) < 0.005
    assert abs(values.std() - 12**-0.5) < 0.005
    assert abs(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1]) < 0.01
    assert not np.array_equal(values, hashed(np.arange(-300, 300)[None, :], np.arange(-300, 300)[:, None], 78))


@pytest.mark.parametrize("width", [0.5, 1.0, 4.0])
def test_a_step_is_half_at_zero_and_as_wide_as_asked(width: float) -> None:
    x = np.array([-width, -width / 2, 0, width / 2, width], np.float32)
    assert step(x, width).tolist() == [0, 0, 0.5, 1, 1]
