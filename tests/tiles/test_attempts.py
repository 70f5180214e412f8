"""Shares that a time limit ends again and again: one that finishes no slide is not tried for ever."""

from __future__ import annotations

import pytest

from hdgan.errors import HdganError, Interrupted
from hdgan.tiles import shards, work
from hdgan.tiles.attempts import MOST_FRUITLESS, counting_attempts
from hdgan.tiles.parts import PARTS, STATUS
from hdgan.tiles.shards import Shard, cut_shard
from hdgan.tiles.stage import run_tiles

from .test_stage import outputs

ALWAYS_LONG, NEVER_LONG = 0.0, 1e9
"""Time limits of which every attempt, and none, takes half."""


def attempt(tmp_path, *, limit_s=ALWAYS_LONG, finishes=""):
    """One attempt at the slides a and b that a signal ends; the error that comes of it."""
    with pytest.raises(HdganError) as caught, counting_attempts(tmp_path / "note.json", ["a", "b"], share="1/2", limit_s=limit_s):
        if finishes:
            (tmp_path / finishes).mkdir(exist_ok=True)
            (tmp_path / finishes / STATUS).write_text("{}")
        raise Interrupted("stopped by SIGUSR1")
    return caught.value


def test_after_some_attempts_that_finished_no_slide_the_next_one_says_to_ask_for_more_time(tmp_path):
    ends = [attempt(tmp_path).exit_code for _ in range(MOST_FRUITLESS - 1)]
    assert ends == [75] * (MOST_FRUITLESS - 1)
    last = attempt(tmp_path)
    assert last.exit_code == 2
    assert f"share 1/2 was ended {MOST_FRUITLESS} times in a row before a slide was finished" in str(last)
    assert "ask for more time" in str(last)
    assert attempt(tmp_path).exit_code == 75, "handed in again, with more time, it begins anew"


def test_attempts_that_were_ended_soon_do_not_count(tmp_path):
    assert {attempt(tmp_path, limit_s=NEVER_LONG).exit_code for _ in range(3 * MOST_FRUITLESS)} == {75}
    assert {attempt(tmp_path, limit_s=None).exit_code for _ in range(3 * MOST_FRUITLESS)} == {75}
    assert not (tmp_path / "note.json").exists()


def test_a_slide_that_was_finished_makes_the_count_begin_anew(tmp_path):
    for finishes in ("", "", "a", "", "", "b", "", ""):
        assert attempt(tmp_path, finishes=finishes).exit_code == 75
    assert attempt(tmp_path, finishes="c").exit_code == 2, "that is a slide of another share"


def test_a_share_that_ends_well_or_in_another_error_counts_nothing(tmp_path):
    attempt(tmp_path)
    with counting_attempts(tmp_path / "note.json", ["a"], share="1/2", limit_s=ALWAYS_LONG):
        pass
    assert not (tmp_path / "note.json").exists()
    attempt(tmp_path)
    before = (tmp_path / "note.json").read_bytes()
    with pytest.raises(OSError, match="disk"), counting_attempts(tmp_path / "note.json", ["a"], share="1/2", limit_s=ALWAYS_LONG):
        raise OSError("disk")
    assert (tmp_path / "note.json").read_bytes() == before


def test_a_share_whose_slide_takes_longer_than_its_time_ends_and_others_do_not_count_for_it(tmp_path, cohort, config, monkeypatch):
    def ended(*_arguments, **_more):
        raise Interrupted("stopped by SIGUSR1")

    def cut(number):
        return cut_shard(config, Shard(number, 2), out=tmp_path / "out", seed=0, base=cohort, limit_s=ALWAYS_LONG)

    with monkeypatch.context() as patch:
        patch.setattr(work, "score_cells", ended)
        for _ in range(MOST_FRUITLESS - 1):
            with pytest.raises(Interrupted):
                cut(1)
            with pytest.raises(Interrupted):
                cut(2)
        with pytest.raises(HdganError, match="ask for more time") as caught:
            cut(1)
        assert caught.value.exit_code == 2
    assert {path.name for path in (tmp_path / "out" / PARTS).glob("*.json")} == {".shard-2-of-2.json"}
    assert cut(1).problems == cut(2).problems == ()
    assert not list((tmp_path / "out" / PARTS).glob("*.json"))


@pytest.mark.parametrize("where", ["plan_by_name", "contents_of"])
def test_a_share_whose_slides_take_longer_than_its_time_to_open_or_to_hash_ends_too(tmp_path, cohort, config, monkeypatch, where):
    def ended(*_arguments, **_more):
        raise Interrupted("stopped by SIGUSR1")

    def cut():
        return cut_shard(config, Shard(1, 2), out=tmp_path / "run" / "out", seed=0, base=cohort, limit_s=ALWAYS_LONG)

    with monkeypatch.context() as patch:
        patch.setattr(shards, where, ended)
        for _ in range(MOST_FRUITLESS - 1):
            with pytest.raises(Interrupted):
                cut()
        with pytest.raises(HdganError, match="share 1/2 was ended 3 times in a row before a slide was finished"):
            cut()
    assert not list((tmp_path / "run" / "out" / PARTS).iterdir())
    assert cut().problems == ()


def test_nothing_is_counted_in_a_stage_that_is_finished(tmp_path, cohort, config, monkeypatch):
    out = tmp_path / "out"
    run_tiles(config, out=out, seed=0, base=cohort)
    before = outputs(out)

    def ended(*_arguments, **_more):
        raise Interrupted("stopped by SIGUSR1")

    monkeypatch.setattr(shards, "plan_by_name", ended)
    for _ in range(MOST_FRUITLESS + 1):
        with pytest.raises(Interrupted):
            cut_shard(config, Shard(1, 2), out=out, seed=0, base=cohort, limit_s=ALWAYS_LONG)
    assert outputs(out) == before
    assert not (out / PARTS).exists()
