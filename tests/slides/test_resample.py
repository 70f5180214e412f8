from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.slides import resample
from hdgan.slides.resample import area_resample


def plain_area_means(pixels, box, out_px):
    """The definition, pixel by pixel: covered area times value."""
    left, top, right, bottom = box
    out = np.zeros((out_px[1], out_px[0], 3))
    for j in range(out_px[1]):
        y0, y1 = (top + (bottom - top) * k / out_px[1] for k in (j, j + 1))
        for i in range(out_px[0]):
            x0, x1 = (left + (right - left) * k / out_px[0] for k in (i, i + 1))
            area = 0.0
            for y in range(int(y0), min(int(np.ceil(y1)), len(pixels))):
                for x in range(int(x0), min(int(np.ceil(x1)), pixels.shape[1])):
                    part = max(0, min(x + 1, x1) - max(x, x0)) * max(0, min(y + 1, y1) - max(y, y0))
                    out[j, i] += part * pixels[y, x]
                    area += part
            out[j, i] /= area
    return out


@settings(max_examples=40)
@given(st.data())
def test_each_pixel_is_the_mean_of_the_area_it_covers(data):
    height, width = data.draw(st.integers(3, 14)), data.draw(st.integers(3, 14))
    pixels = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 256, (height, width, 3), dtype=np.uint8)
    left, top = data.draw(st.floats(0, 0.9)), data.draw(st.floats(0, 0.9))
    right, bottom = data.draw(st.floats(width - 0.9, width)), data.draw(st.floats(height - 0.9, height))
    out_px = (data.draw(st.integers(1, int(right - left))), data.draw(st.integers(1, int(bottom - top))))
    box = (left, top, right, bottom)
    fast = area_resample(pixels, box=box, out_px=out_px)
    assert fast.dtype == np.uint8
    assert np.abs(fast - plain_area_means(pixels, box, out_px)).max() <= 0.5 + 1e-3


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(1, 25), st.integers(1, 400), st.integers(0, 99))
def test_rows_pooled_in_bands_are_those_pooled_at_once(out_width, out_height, num_pooled, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (41, 53, 3), dtype=np.uint8)
    where = {"box": tuple(float(edge) for edge in (*rng.uniform(0, 9, 2), *rng.uniform(40, 41, 2))), "out_px": (out_width, out_height)}
    whole = area_resample(pixels, **where)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resample, "_POOLED_PX", num_pooled)
        assert np.array_equal(area_resample(pixels, **where), whole)


@pytest.mark.parametrize("factors", [(2, 2), (4, 3), (5, 1), (7, 16)])
def test_whole_ratios_are_summed_exactly_and_rounded_half_up(factors):
    across, down = factors
    pixels = np.random.default_rng(1).integers(0, 256, (6 * down, 5 * across, 3), dtype=np.uint8)
    sums = pixels.reshape(6, down, 5, across, 3).astype(np.int64).sum(axis=(1, 3))
    num = across * down
    expected = (2 * sums + num) // (2 * num)
    assert np.array_equal(area_resample(pixels, box=(0, 0, 5 * across, 6 * down), out_px=(5, 6)), expected)


def test_a_constant_stays_a_constant():
    pixels = np.full((100, 77, 3), 203, np.uint8)
    assert (area_resample(pixels, box=(0.3, 1.7, 76.9, 99.2), out_px=(31, 40)) == 203).all()
