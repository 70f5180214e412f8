from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.errors import BadConfig, BadInput, Busy, StaleStage
from hdgan.slides.table import SlideEntry
from hdgan.store.stage import holding, open_stage, sharing
from hdgan.tiles import work
from hdgan.tiles.parts import PARTS, STATUS, part_folder
from hdgan.tiles.shards import Shard, cut_shard, read_shard
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide

from .test_pool import Listening
from .test_stage import outputs

ALL = [Shard(1, 2), Shard(2, 2)]


def cut(config, cohort, out, shard, **more):
    return cut_shard(config, shard, out=out, seed=0, base=cohort, **more)


def join(config, cohort, out, **more):
    return run_tiles(config, out=out, seed=0, base=cohort, **more)


@given(names=st.sets(st.text("abc123", min_size=1, max_size=6), max_size=40), of=st.integers(1, 12))
def test_every_slide_is_in_one_share_and_shares_are_even(names, of, tmp_path_factory):
    entries = [SlideEntry(name, tmp_path_factory.getbasetemp() / name) for name in sorted(names)]
    shares = [Shard(number, of).deal(entries) for number in range(1, of + 1)]
    assert Counter(entry.name for share in shares for entry in share) == Counter(names)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all([entry.name for entry in share] == sorted(entry.name for entry in share) for share in shares)


def test_the_stains_of_cases_are_spread_over_the_shares(tmp_path):
    entries = [SlideEntry(f"case{case:02d}-{stain}", tmp_path) for case in range(40) for stain in ("HE", "PAS", "PASM", "TRI")]
    for number in range(1, 5):
        stains = Counter(entry.name.split("-")[1] for entry in Shard(number, 4).deal(entries))
        assert min(stains[stain] for stain in ("HE", "PAS", "PASM", "TRI")) >= 4


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "a/b", "1/2/3", "-1/2", "1/ 2", "01/2"])
def test_what_names_no_share_is_refused(text):
    with pytest.raises(BadConfig, match=r"is no share; write number and count, such as .3/8"):
        read_shard(text)
    assert read_shard("3/8") == Shard(3, 8)


def test_shares_cut_in_any_order_are_joined_to_the_bytes_of_one_job(tmp_path, cohort, config, monkeypatch):
    join(config, cohort, tmp_path / "whole")
    for shard in reversed(ALL):
        done = cut(config, cohort, tmp_path / "out", shard)
        assert (done.problems, done.was_finished) == ((), False)
        assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.setattr(work, "open_slide", None)  # joining cuts nothing
    join(config, cohort, tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
    assert not (tmp_path / "out" / PARTS).exists()


@pytest.mark.parametrize("rule", [{}, {"min_stains_per_case": 2}], ids=["all cases", "cases left out"])
def test_slides_of_slightly_other_scales_are_cut_once_where_no_mpp_is_asked_for(tmp_path, cohort, config, monkeypatch, rule):
    """Tiles have the coarsest scale of all slides, which is that of one slide in one share."""
    for seed, (name, mpp) in enumerate((("a1", 0.5), ("a2", 0.503), ("b1", 0.506))):
        write_slide(cohort / f"{name}.tif", paint(seed=seed), mpp=mpp)
    by_level = config.model_copy(update={"asked_mpp": None, "level": 1, **rule})
    join(by_level, cohort, tmp_path / "whole")
    for number in (1, 2, 3):
        assert cut(by_level, cohort, tmp_path / "out", Shard(number, 3)).problems == ()
    monkeypatch.setattr(work, "open_slide", None)
    for number in (1, 2, 3):
        cut(by_level, cohort, tmp_path / "out", Shard(number, 3))
    join(by_level, cohort, tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_a_broken_slide_of_another_share_is_not_told_by_this_one(tmp_path, cohort, config):
    by_level = config.model_copy(update={"asked_mpp": None, "level": 1, "broken_slides": "skip"})
    (cohort / "b1.tif").write_bytes(b"no slide")
    told = []
    for number in (1, 2, 3):
        progress = Listening()
        done = cut(by_level, cohort, tmp_path / "out", Shard(number, 3), progress=progress)
        told.append((len(done.problems), sum("left out" in line for line in progress.lines)))
    assert sorted(told) == [(0, 0), (0, 0), (1, 1)]


def test_a_case_that_is_left_out_is_cut_by_no_share_and_makes_none_stale(tmp_path, cohort, config):
    """A share holds one stain of a case, and the whole has them."""
    rule = config.model_copy(update={"min_stains_per_case": 2})
    join(rule, cohort, tmp_path / "whole")
    done = [cut(rule, cohort, tmp_path / "out", Shard(number, 3)) for number in (1, 2, 3)]
    assert sorted(one.num_slides for one in done) == [0, 1, 1]
    assert sorted(status.parent.name for status in (tmp_path / "out" / PARTS).glob(f"*/{STATUS}")) == ["a1", "a2"]
    join(rule, cohort, tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
    assert all(cut(rule, cohort, tmp_path / "out", Shard(number, 3)).was_finished for number in (1, 2, 3))
    assert not (tmp_path / "out" / PARTS).exists()


def test_a_share_is_cut_here_whatever_scheduler_the_settings_name(tmp_path, cohort, config):
    nowhere = config.model_copy(update={"scheduler": "tcp://127.0.0.1:1"})
    assert cut(nowhere, cohort, tmp_path / "out", Shard(1, 1)).num_slides == 3
    assert len(list((tmp_path / "out" / PARTS).glob(f"*/{STATUS}"))) == 3


def test_joining_cuts_what_no_share_did(tmp_path, cohort, config):
    join(config, cohort, tmp_path / "whole")
    cut(config, cohort, tmp_path / "out", Shard(1, 3))
    assert len(list((tmp_path / "out" / PARTS).glob(f"*/{STATUS}"))) == 1
    join(config, cohort, tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_a_share_that_is_there_is_not_cut_again(tmp_path, cohort, config, monkeypatch):
    cut(config, cohort, tmp_path / "out", Shard(1, 1))
    monkeypatch.setattr(work, "open_slide", None)
    assert cut(config, cohort, tmp_path / "out", Shard(1, 1)).num_slides == 3


@pytest.mark.parametrize("change", [{"max_background": 0.2}, {"format": "jxl"}, {"stride_px": 48}])
def test_a_part_of_other_settings_is_cut_again(tmp_path, cohort, config, change):
    other = config.model_copy(update=change)
    join(other, cohort, tmp_path / "whole")
    cut(config, cohort, tmp_path / "out", Shard(1, 1))
    join(other, cohort, tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_a_part_of_another_content_patient_or_version_is_cut_again(tmp_path, cohort, config, monkeypatch):
    cut(config, cohort, tmp_path / "out", Shard(1, 1))
    keys = {part.name: (part / STATUS).read_text() for part in (tmp_path / "out" / PARTS).iterdir() if part.is_dir()}
    write_slide(cohort / "a1.tif", paint(seed=11))
    table = cohort / "slides.csv"
    table.write_text(table.read_text().replace("b1.tif,B", "b1.tif,C"))
    cut(config, cohort, tmp_path / "out", Shard(1, 1))
    now = {part.name: (part / STATUS).read_text() for part in (tmp_path / "out" / PARTS).iterdir() if part.is_dir()}
    assert {name for name in keys if keys[name] != now[name]} == {"a1", "b1"}
    monkeypatch.setattr(work, "PART_FORMAT", work.PART_FORMAT + 1)
    cut(config, cohort, tmp_path / "out", Shard(1, 1))
    assert (part_folder(tmp_path / "out", "a2") / STATUS).read_text() != now["a2"]


def test_moving_the_slides_makes_no_part_stale(tmp_path, cohort, config, monkeypatch):
    cut(config, cohort, tmp_path / "out", Shard(1, 1))
    moved = tmp_path / "elsewhere"
    shutil.move(cohort, moved)
    monkeypatch.setattr(work, "open_slide", None)
    assert cut(config, moved, tmp_path / "out", Shard(1, 1)).problems == ()


def test_a_finished_stage_is_left_alone_and_a_stale_one_needs_redo_everywhere(tmp_path, cohort, config):
    out = tmp_path / "out"
    manifest = join(config, cohort, out)
    assert cut(config, cohort, out, ALL[0]).was_finished
    other = config.model_copy(update={"max_background": 0.2})
    with pytest.raises(StaleStage, match="add --redo, to each shard"):
        cut(other, cohort, out, ALL[0])
    for shard in ALL:
        assert not cut(other, cohort, out, shard, redo=True).was_finished
    assert join(config, cohort, out) == manifest, "until they are joined, what was there stands"
    for shard in ALL:
        cut(other, cohort, out, shard, redo=True)
    join(other, cohort, tmp_path / "whole")
    join(other, cohort, out, redo=True)
    assert outputs(out) == outputs(tmp_path / "whole")


def test_nobody_joins_while_a_share_is_cut_and_no_share_is_cut_while_somebody_joins(tmp_path, cohort, config):
    out = tmp_path / "out"
    cut(config, cohort, out, ALL[0])
    with sharing(out), pytest.raises(Busy):
        join(config, cohort, out)
    with open_stage(out, stage="tiles", config={}, seed=0, inputs={}, vouched=(PARTS,)), pytest.raises(Busy):
        cut(config, cohort, out, ALL[1])
    shutil.rmtree(out)
    with sharing(_made(out)), holding(_made(out / PARTS) / ".shard-1-of-2.lock"):
        with pytest.raises(Busy, match="shard-1-of-2"):
            cut(config, cohort, out, ALL[0])
        with pytest.raises(Busy, match="shares of another count than 3 are being cut"):
            cut(config, cohort, out, Shard(2, 3))
        cut(config, cohort, out, ALL[1])


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder


def test_leftovers_of_a_killed_share_go_and_those_of_others_stay(tmp_path, cohort, config):
    parts = tmp_path / "out" / PARTS
    mine, other = (next(n for n in ("a1", "a2", "b1") if n in names) for names in _dealt(cohort))
    for name in (mine, other):
        (parts / f".partial-77-0a1b2c3d-new-{name}").mkdir(parents=True)
    cut(config, cohort, tmp_path / "out", ALL[0])
    assert [path.name for path in parts.glob(".partial-*")] == [f".partial-77-0a1b2c3d-new-{other}"]


def _dealt(cohort):
    entries = [SlideEntry(name, cohort) for name in ("a1", "a2", "b1")]
    return [{entry.name for entry in shard.deal(entries)} for shard in ALL]


def test_a_broken_slide_stops_its_share_or_is_left_out(tmp_path, cohort, config):
    (cohort / "bad.svs").write_bytes(b"no slide")
    config = config.model_copy(update={"slides": ("slides.csv", "bad.svs")})
    with pytest.raises(BadInput, match="is a text file"):
        cut(config, cohort, tmp_path / "out", Shard(1, 1))
    ear = Listening()
    done = cut(config.model_copy(update={"broken_slides": "skip"}), cohort, tmp_path / "out", Shard(1, 1), progress=ear)
    assert [problem.where for problem in done.problems] == [str(cohort / "bad.svs")]
    assert any(line.startswith("left out: ") for line in ear.lines)


SHARE = """
import sys
from pathlib import Path
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.shards import cut_shard, read_shard
cut_shard(TilesConfig.model_validate_json(sys.argv[1]), read_shard(sys.argv[2]), out=Path(sys.argv[3]), seed=0, base=Path(sys.argv[4]))
"""


def test_shares_cut_at_the_same_time_do_not_disturb_each_other(tmp_path, cohort, config):
    join(config, cohort, tmp_path / "whole")
    out = tmp_path / "out"
    command = [sys.executable, "-c", SHARE, config.model_dump_json()]
    jobs = [subprocess.Popen([*command, f"{number}/3", str(out), str(cohort)]) for number in (1, 2, 3)]
    assert [job.wait(60) for job in jobs] == [0, 0, 0]
    assert sorted(path.name for path in (out / PARTS).iterdir() if path.is_dir()) == ["a1", "a2", "b1"]
    join(config, cohort, out)
    assert outputs(out) == outputs(tmp_path / "whole")
