from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.annotations.suggestions import FILE, ROUND, Candidate, choose_next, limits, suggested_names
from hdgan.errors import DamagedArtifact
from hdgan.store.atomic import write_json, write_text

shares = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(tuple)
banks = st.lists(st.tuples(shares, st.floats(0, 2)), min_size=0, max_size=20)
drawn = st.lists(shares, min_size=1, max_size=12).map(np.array)


def named(rows):
    return [Candidate(f"{i:06d}", found, uncertainty) for i, (found, uncertainty) in enumerate(rows)]


@given(banks, drawn, st.integers(1, 25))
def test_each_image_is_the_least_certain_of_those_that_show_the_class_that_the_fewest_show(rows, annotated, num):
    left, least = named(rows), limits(annotated)
    shown_by = (annotated >= least).sum(axis=0)
    chosen = choose_next(left, annotated, num=num)
    for one in chosen:
        open_classes = [value for value in range(3) if any(other.shares[value] >= least[value] for other in left)]
        assert shown_by[one.class_index] == min(shown_by[value] for value in open_classes)
        rivals = [other for other in left if other.shares[one.class_index] >= least[one.class_index]]
        assert one.candidate.uncertainty == max(other.uncertainty for other in rivals)
        left.remove(one.candidate)
        shown_by = shown_by + (np.array(one.candidate.shares) >= least)
    assert len(chosen) == num or not any((np.array(other.shares) >= least).any() for other in left)


@given(banks, drawn, st.integers(1, 10), st.integers(0, 10))
def test_a_shorter_list_is_the_beginning_of_a_longer_one(rows, annotated, num, more):
    assert choose_next(named(rows), annotated, num=num) == choose_next(named(rows), annotated, num=num + more)[:num]


def test_small_structures_show_at_a_small_share_and_what_nobody_drew_never_shows():
    annotated = np.array([[0.9, 0.004, 0.096, 0.0], [0.5, 0.0, 0.5, 0.0], [0.984, 0.016, 0.0, 0.0]])
    np.testing.assert_allclose(limits(annotated), [0.225, 0.0025, 0.0745, np.inf])


def test_of_a_scarce_class_the_doubtful_images_come_first_and_then_the_next_class():
    annotated = np.array([[0.8, 0.2, 0.0]] * 8 + [[0.8, 0.0, 0.2]] * 7)
    seen = named([((0.9, 0.1, 0.0), 0.5), ((0.8, 0.0, 0.2), 0.1), ((0.7, 0.1, 0.2), 0.3), ((0.99, 0.01, 0.0), 0.9)])
    chosen = choose_next(seen, annotated, num=3)
    assert [(one.candidate.name, one.class_index) for one in chosen] == [("000002", 2), ("000001", 2), ("000000", 1)]


def test_rounds_of_the_same_bank_add_up_and_those_of_another_do_not_count(tmp_path):
    assert suggested_names(tmp_path / "none", samples="a") == frozenset()
    for number, (bank, names) in enumerate([("a", ("000001", "000005")), ("b", ("000007",)), ("a", ("000002",))], start=1):
        rows = [{"name": name, "for": "artery"} for name in names]
        write_json(tmp_path / ROUND.format(number) / FILE, {"schema": 1, "inputs": {"samples": bank}, "suggestions": rows})
    assert suggested_names(tmp_path, samples="a") == {"000001", "000002", "000005"}
    assert suggested_names(tmp_path, samples="c") == frozenset()


@pytest.mark.parametrize("text", ["", "{}", '{"inputs": []}', '{"inputs": {"samples": "a"}, "suggestions": [{}]}'])
def test_a_round_that_cannot_be_read_is_refused_since_its_images_could_be_measured_on(tmp_path, text):
    write_text(tmp_path / "round-01" / FILE, text)
    with pytest.raises(DamagedArtifact, match="no list of suggestions"):
        suggested_names(tmp_path, samples="a")
