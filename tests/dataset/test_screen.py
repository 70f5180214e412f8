from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.dataset.screen import kept, num_candidates
from hdgan.measures.calibration import image_score

SHARES = st.integers(0, 90).map(lambda percent: percent / 100)


@given(num=st.integers(1, 5000), share=SHARES)
def test_exactly_the_asked_number_remains_and_no_larger_draw_would_do(num, share):
    def remain(total):
        return total - math.floor(Fraction(str(share)) * total)

    total = num_candidates(num, share)
    assert remain(total) == num
    assert remain(total + 1) > num


@pytest.mark.parametrize(
    ("num", "share", "total"),
    [(1, 0.1, 1), (9, 0.1, 10), (10, 0.1, 11), (90, 0.1, 100), (71, 0.29, 100), (5, 0.0, 5), (1, 0.5, 2), (1, 0.9, 10), (27, 0.1, 30)],
)
def test_the_rule_by_hand(num, share, total):
    assert num_candidates(num, share) == total


@pytest.mark.parametrize(("wanted", "drawn", "dropped"), [(3, 3, 0), (9, 10, 1), (10_000, 11_111, 1111)])
def test_the_rule_drops_the_same_share_of_three_and_of_ten_thousand_rounded_down(wanted, drawn, dropped):
    assert num_candidates(wanted, 0.1) == drawn
    scores = np.random.default_rng(0).permutation(drawn) / drawn
    stay = kept(list(scores), num=wanted)
    assert drawn - len(stay) == dropped == math.floor(drawn / 10)
    if dropped:
        assert np.delete(scores, stay).min() > scores[list(stay)].max()


@given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=60), data=st.data())
def test_what_stays_is_never_more_uncertain_than_what_goes(scores, data):
    num = data.draw(st.integers(1, len(scores)))
    stay = kept(scores, num=num)
    go = set(range(len(scores))) - set(stay)
    assert len(stay) == num
    assert list(stay) == sorted(stay)
    assert all(scores[a] <= scores[b] for a in stay for b in go)


@pytest.mark.parametrize("num_images", [2, 10, 11, 40, 300, 301])
def test_small_sets_keep_their_certain_images_where_the_published_slice_loses_them(num_images):
    """DatasetGAN's released slice is [30 : -n_drop + 30]: nothing is left of 300 images or fewer, and the best 30 always go."""
    scores = list(np.linspace(0, 1, num_images))
    dropped = num_images // 10
    published = sorted(range(num_images), key=scores.__getitem__)[30 : -dropped + 30]
    ours = kept(scores, num=num_images - dropped)
    assert ours == tuple(range(num_images - dropped))
    assert 0 not in published
    assert len(published) < len(ours) or num_images > 300


def test_of_equal_scores_the_earlier_stay():
    assert kept([0.5, 0.5, 0.5, 0.1], num=2) == (0, 3)


def test_the_score_is_the_mean_over_the_most_uncertain_pixels():
    uncertainty = np.arange(100, dtype=np.float32).reshape(10, 10)
    assert image_score(uncertainty, top_share=0.1) == pytest.approx(np.arange(90, 100).mean())
    assert image_score(uncertainty, top_share=1.0) == pytest.approx(49.5)
    assert image_score(uncertainty, top_share=0.001) == 99
