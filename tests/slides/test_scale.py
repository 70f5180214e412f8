from __future__ import annotations

import pytest

from hdgan.errors import BadConfig, BadInput
from hdgan.slides.reader import open_slide
from hdgan.slides.scale import contradiction, level_mpp, requested_mpp

from .painting import paint, write_coded, write_slide


@pytest.fixture
def svs(tmp_path):
    return open_slide(write_coded(tmp_path / "a.svs", paint(), codec="stored", levels=3, is_aperio=True))


def test_a_magnification_is_that_of_the_slides_own_objective(svs):
    assert (svs.objective, svs.mpp) == (40, pytest.approx(0.25))
    assert requested_mpp(svs, magnification=20) == pytest.approx(0.5)
    assert requested_mpp(svs, magnification=40) == pytest.approx(0.25)
    assert requested_mpp(svs, magnification=2.5) == pytest.approx(4.0)


def test_a_level_has_the_scale_of_its_downsample(svs):
    assert [requested_mpp(svs, level=level) for level in range(3)] == pytest.approx([0.25, 0.5, 1.0])
    assert level_mpp(svs, 2) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("given", "is_told"), [(None, False), (0.2, False), (0.3, False), (0.5, True), (2.5, True), (250, True), (0.1, True)]
)
def test_a_scale_far_from_the_one_that_the_file_states_is_told_with_both(tmp_path, given, is_told):
    path = write_coded(tmp_path / "a.svs", paint(), codec="jpeg 4:2:0", levels=3, is_aperio=True)
    for reader in ("auto", "openslide"):
        slide = open_slide(path, mpp_override=given, reader=reader)
        assert (slide.mpp, slide.stated_mpp) == (given or pytest.approx(0.25), pytest.approx(0.25))
        line = contradiction(slide)
        assert bool(line) == is_told
        assert not is_told or f"{given:g} um/px" in line
        assert not is_told or "states 0.25" in line


def test_a_scale_given_for_a_slide_that_states_none_contradicts_nothing(tmp_path):
    assert contradiction(open_slide(write_slide(tmp_path / "a.tif", paint(), mpp=None), mpp_override=250)) == ""


def test_an_mpp_is_taken_as_it_is(svs):
    assert requested_mpp(svs, mpp=0.7) == 0.7
    assert requested_mpp(svs, mpp=0.2499) == svs.mpp  # finer by rounding only


def test_a_scale_finer_than_the_slide_is_refused(svs):
    for asked in ({"mpp": 0.2}, {"magnification": 60}):
        with pytest.raises(BadInput, match=r"coarser than the 0\.\d+ asked for"):
            requested_mpp(svs, **asked)


def test_a_magnification_is_not_guessed_where_the_slide_states_no_objective(tmp_path):
    slide = open_slide(write_slide(tmp_path / "a.tif", paint()))
    assert slide.objective is None
    with pytest.raises(BadInput, match="does not state the magnification"):
        requested_mpp(slide, magnification=20)


def test_a_slide_without_scale_is_refused_or_takes_the_fallback(tmp_path):
    slide = open_slide(write_slide(tmp_path / "a.tif", paint(), mpp=None))
    with pytest.raises(BadInput, match=r"--mpp"):
        requested_mpp(slide, level=1)
    assert requested_mpp(slide, level=1, fallback=0.3) == pytest.approx(0.6)


@pytest.mark.parametrize("asked", [{}, {"mpp": 1.0, "level": 0}, {"mpp": -1.0}, {"magnification": float("nan")}])
def test_none_several_or_impossible_scales_are_refused(svs, asked):
    with pytest.raises(BadConfig):
        requested_mpp(svs, **asked)


def test_a_level_that_is_not_there_is_refused(svs):
    with pytest.raises(BadInput, match="its levels are 0 to 2"):
        requested_mpp(svs, level=3)
