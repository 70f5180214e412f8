"""A slide that was left out and is mended is cut alone, and the stage is then what it would be had the slide never been broken."""

from __future__ import annotations

import pytest

from hdgan.errors import BadInput, OutOfSpace, StaleStage
from hdgan.slides.reader import open_slide
from hdgan.store.archive import TileArchive
from hdgan.store.atomic import read_json
from hdgan.tiles import work
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide
from tests.tiles.test_pool import Listening

from .test_stage import outputs

DAMAGED = BadInput("bad.tif", "is damaged throughout", "copy it again")


@pytest.fixture
def with_bad(cohort, config):
    """Settings for the cohort and one more slide, `bad`, which may be left out."""
    write_slide(cohort / "bad.tif", paint(seed=7))
    return config.model_copy(update={"slides": ("slides.csv", "bad.tif"), "broken_slides": "skip"})


@pytest.fixture
def opened(monkeypatch):
    """The slides that were opened to be cut, in order; the error in the list is that of `bad.tif`."""
    names, broken = [], []

    def opening(path, **settings):
        names.append(path.stem)
        if broken and path.name == "bad.tif":
            raise broken[0]
        return open_slide(path, **settings)

    monkeypatch.setattr(work, "open_slide", opening)
    return names, broken


def run(config, cohort, out, **more):
    return run_tiles(config, out=out, seed=0, base=cohort, **more)


def leave_out(where, config, cohort, out, broken):
    """A finished stage without `bad`, which fails when it is opened or when it is cut."""
    if where == "cutting":
        broken.append(DAMAGED)
    else:
        (cohort / "bad.tif").write_bytes(b"no slide")
    manifest = run(config, cohort, out)
    broken.clear()
    assert (manifest.counts["slides"], manifest.counts["skipped_slides"]) == (3, 1)
    assert manifest.counts["left_out_slides"]["names"] == ["bad"]
    return manifest


@pytest.mark.parametrize(
    ("where", "settings"),
    [
        ("cutting", {"format": "none", "max_disagreement": 255}),
        ("opening", {}),
        ("cutting", {"asked_mpp": None, "level": 0}),
    ],
)
def test_only_the_mended_slide_is_cut_and_the_bytes_are_those_of_a_whole_run(tmp_path, cohort, with_bad, opened, where, settings):
    names, broken = opened
    config = with_bad.model_copy(update=settings)
    out = tmp_path / "out"
    leave_out(where, config, cohort, out, broken)
    names.clear()
    write_slide(cohort / "bad.tif", paint(seed=9))
    ear = Listening()
    manifest = run(config, cohort, out, progress=ear)
    assert names == ["bad"]
    assert "only slides that were left out have changed: the others are not cut again" in ear.lines
    assert (manifest.counts["slides"], manifest.counts["skipped_slides"]) == (4, 0)
    assert "left_out_slides" not in manifest.counts
    run(config, cohort, tmp_path / "whole")
    assert outputs(out) == outputs(tmp_path / "whole")
    assert not (out / "parts").exists()


def test_what_was_said_of_the_others_and_their_seconds_are_kept(tmp_path, cohort, with_bad, opened):
    names, broken = opened
    write_slide(cohort / "a1.tif", (paint(seed=0).astype(int) - 52).clip(0, 255).astype("uint8"))
    run(with_bad, cohort, tmp_path / "whole")
    leave_out("opening", with_bad, cohort, tmp_path / "out", broken)
    write_slide(cohort / "bad.tif", paint(seed=7))
    names.clear()
    before = read_json(tmp_path / "out" / "provenance.json")["readers"]
    manifest = run(with_bad, cohort, tmp_path / "out")
    after = read_json(tmp_path / "out" / "provenance.json")["readers"]
    assert names == ["bad"]
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"bad"}
    assert [line.partition(":")[0] for line in manifest.counts["warnings"] if "white point" in line] == ["a1"]
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


@pytest.mark.parametrize("where", ["cutting", "opening"])
def test_the_same_damaged_file_makes_nothing_stale_and_is_not_tried_again(tmp_path, cohort, with_bad, opened, where):
    names, broken = opened
    manifest = leave_out(where, with_bad, cohort, tmp_path / "out", broken)
    names.clear()
    assert run(with_bad, cohort, tmp_path / "out") == manifest
    assert names == []


@pytest.mark.parametrize("settings", [{}, {"format": "none"}], ids=["stored", "unstored"])
def test_a_slide_whose_reader_was_killed_is_cut_after_all_where_that_is_asked_for_and_no_other(
    tmp_path, cohort, with_bad, opened, settings
):
    names, broken = opened
    config, out = with_bad.model_copy(update=settings), tmp_path / "out"
    leave_out("cutting", config, cohort, out, broken)
    ear = Listening()
    assert run(config, cohort, out, progress=ear).counts["slides"] == 3
    assert "1 left out when the others were cut: bad; --retry-left-out tries again" in ear.lines
    names.clear()
    again = config.model_copy(update={"retry_left_out": True})
    assert run(config, cohort, out, redo=True).counts["slides"] == 3, "a redo of the whole run remakes nothing that is current"
    names.clear()
    manifest = run(again, cohort, out)
    assert names == ["bad"]
    assert (manifest.counts["slides"], manifest.counts["skipped_slides"]) == (4, 0)
    run(config, cohort, tmp_path / "whole")
    assert outputs(out) == outputs(tmp_path / "whole")
    assert not (out / "parts").exists()
    names.clear()
    ear = Listening()
    assert run(again, cohort, out, progress=ear) == manifest
    assert (names, [line for line in ear.lines if "left out" in line]) == ([], [])


def test_where_the_slide_fails_again_the_stage_stays_as_it_is(tmp_path, cohort, with_bad, opened):
    names, broken = opened
    leave_out("cutting", with_bad, cohort, tmp_path / "out", broken)
    broken.append(DAMAGED)
    names.clear()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    run(with_bad.model_copy(update={"retry_left_out": True}), cohort, tmp_path / "out")
    assert names == ["bad"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_stage_that_was_damaged_meanwhile_is_not_gone_on_with(tmp_path, cohort, with_bad, opened):
    leave_out("cutting", with_bad, cohort, tmp_path / "out", opened[1])
    (tmp_path / "out" / "tiles.zip").write_bytes(b"x")
    again = with_bad.model_copy(update={"retry_left_out": True})
    assert run(again, cohort, tmp_path / "out").counts["slides"] == 3
    run(again, cohort, tmp_path / "out", redo=True)
    run(with_bad, cohort, tmp_path / "whole")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_a_slide_that_stays_broken_otherwise_is_left_out_again(tmp_path, cohort, with_bad, opened):
    names, broken = opened
    first = leave_out("cutting", with_bad, cohort, tmp_path / "out", broken)
    (cohort / "bad.tif").write_bytes(b"no slide")
    names.clear()
    second = run(with_bad, cohort, tmp_path / "out")
    assert names == []
    assert second.counts == first.counts
    assert "slide bad" not in second.inputs
    assert run(with_bad, cohort, tmp_path / "out") == second


def test_tiles_of_another_lossless_format_are_cut_again(tmp_path, cohort, with_bad, opened):
    names, broken = opened
    leave_out("cutting", with_bad, cohort, tmp_path / "out", broken)
    write_slide(cohort / "bad.tif", paint(seed=9))
    names.clear()
    run(with_bad.model_copy(update={"format": "none"}), cohort, tmp_path / "out")
    assert sorted(names) == ["a1", "a2", "b1", "bad"]
    assert {row.name.partition(".")[2] for row in TileArchive(tmp_path / "out").rows} == {""}


@pytest.mark.parametrize("what", ["another slide", "a setting", "a file of the stage", "stored again"])
def test_whatever_else_has_changed_is_stale_as_always(tmp_path, cohort, with_bad, opened, what):
    leave_out("cutting", with_bad, cohort, tmp_path / "out", opened[1])
    if what == "stored again":
        opened[1].append(DAMAGED)
        rebuild_tiles(with_bad, out=tmp_path / "out", seed=0, base=cohort, form="jpeg")
    write_slide(cohort / "bad.tif", paint(seed=9))
    if what == "another slide":
        write_slide(cohort / "a1.tif", paint(seed=10))
    if what == "a file of the stage":
        (tmp_path / "out" / "tiles.zip").write_bytes(b"x")
    config = with_bad.model_copy(update={"max_background": 0.4}) if what == "a setting" else with_bad
    with pytest.raises(StaleStage):
        run(config, cohort, tmp_path / "out")


def test_a_job_that_is_interrupted_on_the_way_goes_on(tmp_path, cohort, with_bad, opened):
    names, broken = opened
    leave_out("cutting", with_bad, cohort, tmp_path / "out", broken)
    write_slide(cohort / "bad.tif", paint(seed=9))
    broken.append(OutOfSpace("no space left"))
    with pytest.raises(OutOfSpace):
        run(with_bad, cohort, tmp_path / "out")
    broken.clear()
    names.clear()
    run(with_bad, cohort, tmp_path / "out")
    assert names == ["bad"]


def test_under_a_key_it_is_the_same_and_names_nobody(tmp_path, cohort, with_bad, opened):
    names, broken = opened
    config = with_bad.model_copy(update={"slides": ("*.tif",), "pseudonym_key": tmp_path / "key"})
    out = tmp_path / "run" / "1-tiles"
    broken.append(DAMAGED)
    manifest = run(config, cohort, out)
    broken.clear()
    (name,) = manifest.counts["left_out_slides"]["names"]
    assert name.startswith("s-")
    names.clear()
    write_slide(cohort / "bad.tif", paint(seed=9))
    run(config, cohort, out)
    assert names == ["bad"]
