from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.errors import BadInput, Busy, DamagedArtifact, StaleStage
from hdgan.store import stage as stages
from hdgan.store.atomic import read_json, write_json, write_text
from hdgan.store.stage import StageFolder, manifest_hash, open_stage, read_manifest, stage_changes, verify

BEGUN = {"stage": "tiles", "config": {"mpp": 0.5, "white": {"share": 0.5}}, "seed": 1, "inputs": {"slides": "abc"}}


def finish(folder, text="x", **changes):
    with open_stage(folder, **BEGUN | changes) as stage:
        if not stage.is_current:
            write_text(folder / "sub" / "out.txt", text)
            stage.seal(counts={"files": 1})
        return stage


def test_a_finished_stage_is_current_and_equal_runs_have_equal_manifests(tmp_path):
    assert isinstance(finish(tmp_path / "a"), StageFolder)
    finish(tmp_path / "b")
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
    with open_stage(tmp_path / "a", **BEGUN) as stage:
        assert stage.is_current
        assert stage.manifest == read_manifest(tmp_path / "a")
    assert verify(tmp_path / "a") == []
    assert stage_changes(tmp_path / "a", **BEGUN) == ()
    assert stage_changes(tmp_path / "c", **BEGUN) is None


def test_outputs_stored_anew_are_hashed_again_and_the_first_bytes_give_the_first_manifest(tmp_path):
    finish(tmp_path)
    first, identity = (tmp_path / "manifest.json").read_bytes(), manifest_hash(tmp_path)
    for text, is_same in (("y", True), ("z", False), ("x", False)):
        write_text(tmp_path / "sub" / "out.txt", text)
        assert verify(tmp_path)
        with open_stage(tmp_path, **BEGUN) as stage:
            stage.reseal(counts=stage.manifest.counts, is_same=is_same)
        assert verify(tmp_path) == []
        assert (manifest_hash(tmp_path) == identity) == (text != "z")
    assert (tmp_path / "manifest.json").read_bytes() == first


def test_other_settings_are_refused_with_the_field_and_redone_when_asked(tmp_path):
    finish(tmp_path / "a")
    (tmp_path / "a" / "keep").mkdir()
    write_text(tmp_path / "a" / "keep" / "drawn.txt", "by a person")
    changed = BEGUN | {"config": {"mpp": 0.5, "white": {"share": 0.7}}}
    with pytest.raises(StaleStage, match=r"config\.white\.share"), open_stage(tmp_path / "a", **changed):
        pass
    assert (tmp_path / "a" / "sub" / "out.txt").exists()
    with open_stage(tmp_path / "a", **changed, redo=True) as stage:
        assert not stage.is_current
        assert not (tmp_path / "a" / "sub").exists()
    assert (tmp_path / "a" / "keep" / "drawn.txt").read_text() == "by a person"


def test_afresh_a_current_stage_is_cleared_but_for_what_vouches_for_itself_and_a_stale_one_refused(tmp_path):
    folder = tmp_path / "a"
    finish(folder)
    before = (folder / "manifest.json").read_bytes()
    write_text(folder / "parts" / "own.txt", "says what it is of")
    with pytest.raises(StaleStage, match="seed"), open_stage(folder, **BEGUN | {"seed": 2}, vouched=("parts",), is_afresh=True):
        pass
    assert verify(folder) == []
    with pytest.raises(RuntimeError), open_stage(folder, **BEGUN, vouched=("parts",), is_afresh=True) as stage:
        assert not stage.is_current
        assert {path.name for path in folder.iterdir()} == {".lock", "inprogress.json", "parts"}
        write_text(folder / "half.txt", "half of the work")
        raise RuntimeError
    with open_stage(folder, **BEGUN, vouched=("parts",), is_afresh=True) as stage:
        assert not stage.is_current
        assert (folder / "half.txt").exists(), "one that is unfinished is resumed"
        (folder / "half.txt").unlink()
    (folder / "parts" / "own.txt").unlink()
    finish(folder)
    assert (folder / "manifest.json").read_bytes() == before


def test_a_stage_that_was_cut_off_is_resumed_by_the_same_command_only(tmp_path):
    with pytest.raises(RuntimeError), open_stage(tmp_path / "a", **BEGUN):
        write_text(tmp_path / "a" / "part.txt", "half of the work")
        raise RuntimeError
    with pytest.raises(StaleStage, match="seed"), open_stage(tmp_path / "a", **BEGUN | {"seed": 2}):
        pass
    with open_stage(tmp_path / "a", **BEGUN) as stage:
        assert not stage.is_current
        assert (tmp_path / "a" / "part.txt").read_text() == "half of the work"
    with pytest.raises(BadInput, match="not been finished"):
        read_manifest(tmp_path / "a")


def test_two_processes_never_work_in_one_folder(tmp_path):
    code = "import sys\nfrom pathlib import Path\nfrom hdgan.errors import Busy\nfrom hdgan.store.stage import open_stage\n"
    code += f"try:\n    with open_stage(Path(sys.argv[1]), **{BEGUN!r}): pass\nexcept Busy: sys.exit(9)"
    with open_stage(tmp_path / "a", **BEGUN):
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False).returncode == 9
    with open_stage(tmp_path / "a", **BEGUN):
        pass
    assert issubclass(Busy, Exception)


def test_a_strangers_folder_is_left_alone(tmp_path):
    write_text(tmp_path / "a" / "thesis.txt", "years of work")
    with pytest.raises(BadInput, match=r"thesis\.txt"), open_stage(tmp_path / "a", **BEGUN):
        pass
    assert (tmp_path / "a" / "thesis.txt").read_text() == "years of work"


@given(place=st.integers(0, 200), bit=st.integers(0, 7))
@settings(max_examples=40)
def test_any_flipped_bit_of_an_output_is_found(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("stage")
    finish(folder, text="y" * 201)
    path = folder / "sub" / "out.txt"
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)
    (line,) = verify(folder)
    assert "out.txt" in line


def test_a_missing_output_is_named_and_a_damaged_or_newer_manifest_refused(tmp_path):
    finish(tmp_path / "a")
    (tmp_path / "a" / "sub" / "out.txt").unlink()
    assert "missing" in verify(tmp_path / "a")[0]
    path = tmp_path / "a" / "manifest.json"
    write_json(path, read_json(path) | {"schema": 99})
    with pytest.raises(BadInput, match="schema 99"):
        read_manifest(tmp_path / "a")
    path.write_text("{")
    with pytest.raises(DamagedArtifact, match="damaged"):
        read_manifest(tmp_path / "a")


def test_a_redo_mends_what_is_damaged_and_leaves_what_is_whole(tmp_path):
    finish(tmp_path / "a")
    before = (tmp_path / "a" / "provenance.json").read_bytes()
    assert finish(tmp_path / "a", redo=True).is_current
    assert (tmp_path / "a" / "provenance.json").read_bytes() == before
    write_text(tmp_path / "a" / "sub" / "out.txt", "changed")
    finish(tmp_path / "a", redo=True)
    assert verify(tmp_path / "a") == []
    whole = (tmp_path / "a" / "manifest.json").read_bytes()
    for damage in (b"{", b"", whole.replace(b'"schema": 1', b'"schema": 99')):
        (tmp_path / "a" / "manifest.json").write_bytes(damage)
        with pytest.raises(BadInput, match=r"manifest\.json"):
            finish(tmp_path / "a")
        finish(tmp_path / "a", redo=True)
        assert (tmp_path / "a" / "manifest.json").read_bytes() == whole


@pytest.mark.parametrize(("rest", "changes", "is_spared"), [("state", {}, True), ("gone", {}, False), ("state", {"seed": 2}, False)])
def test_a_redo_keeps_what_the_damaged_outputs_can_be_made_from_where_they_were_made_from_the_same(tmp_path, rest, changes, is_spared):
    folder = tmp_path / "a"
    with open_stage(folder, **BEGUN) as stage:
        for name in ("state/1", "good", "bad", "lost"):
            write_text(folder / name, name)
        stage.seal(counts={}, keep_out=("state",))
    whole = (folder / "manifest.json").read_bytes()
    write_text(folder / "bad", "cut sh")
    (folder / "lost").unlink()
    for _ in range(2):  # the second finds what the first, which was killed, has left
        with pytest.raises(KeyError), open_stage(folder, **BEGUN | changes, redo=True, mends_from=rest) as stage:
            assert not stage.is_current
            assert (folder / "state" / "1").exists() == (folder / "good").exists() == is_spared
            assert not (folder / "bad").exists()
            raise KeyError
    if is_spared:
        with open_stage(folder, **BEGUN, mends_from=rest) as stage:
            for name in ("bad", "lost"):
                write_text(folder / name, name)
            stage.seal(counts={}, keep_out=("state",))
        assert (folder / "manifest.json").read_bytes() == whole


def test_a_redo_never_clears_a_strangers_folder_that_has_a_manifest_too(tmp_path):
    write_text(tmp_path / "app" / "manifest.json", '{"name": "a web page"}')
    write_text(tmp_path / "app" / "index.html", "by hand")
    with pytest.raises(DamagedArtifact, match=r"manifest\.json"), open_stage(tmp_path / "app", **BEGUN, redo=True):
        pass
    assert (tmp_path / "app" / "index.html").read_text() == "by hand"


@pytest.mark.parametrize("dies_at", range(12))
def test_a_redo_killed_while_it_clears_leaves_the_old_stage_or_nothing_to_resume(tmp_path, monkeypatch, dies_at):
    old, new = tmp_path / "a", BEGUN | {"seed": 2}
    with open_stage(old, **BEGUN) as stage:
        for name in ("1.txt", "2.txt", "z/3.txt"):
            write_text(old / name, "old")
        stage.seal(counts={})
    calls = []

    def mortal(work):
        def call(*args, **named):
            calls.append(args)
            if len(calls) > dies_at:
                raise KeyboardInterrupt
            return work(*args, **named)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(stages, "write_json", mortal(stages.write_json))
        patch.setattr(Path, "unlink", mortal(Path.unlink))
        patch.setattr(stages.shutil, "rmtree", mortal(stages.shutil.rmtree))
        with pytest.raises(KeyboardInterrupt), open_stage(old, **new, redo=True):
            raise KeyboardInterrupt  # when there were fewer steps than that
    if (old / "manifest.json").exists():
        assert verify(old) == []
        with open_stage(old, **BEGUN) as stage:
            assert stage.is_current
    with open_stage(old, **new, redo=True) as stage:
        assert not stage.is_current
        assert {path.name for path in old.iterdir()} == {".lock", "inprogress.json"}
    finish(old, **new)
    finish(tmp_path / "b", **new)
    assert (old / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()


@pytest.mark.parametrize("other", [{"config": {"kimg": 2}}, {"config": {"kimg": 2}, "seed": 2}])
@pytest.mark.parametrize("dies_at", [1, 2, 3, 4, 99])
def test_what_a_longer_run_goes_on_from_is_spared_even_if_clearing_was_killed(tmp_path, monkeypatch, other, dies_at):
    folder, begun = tmp_path / "a", BEGUN | {"config": {"kimg": 1}}
    with open_stage(folder, **begun) as stage:
        write_text(folder / "state" / "1", "so far")
        write_text(folder / "weights", "short")
        stage.seal(counts={}, keep_out=("state",))
    calls, unlink = [], Path.unlink

    def mortal(self, missing_ok=False):
        calls.append(self)
        if len(calls) == dies_at:
            raise KeyboardInterrupt
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", mortal)
        with pytest.raises(KeyboardInterrupt), open_stage(folder, **begun | other, redo=True, goes_on={"config.kimg": "state"}):
            raise KeyboardInterrupt
    with open_stage(folder, **begun | other, redo=True, goes_on={"config.kimg": "state"}) as stage:
        assert not stage.is_current
        assert not (folder / "weights").exists()
        assert (folder / "state" / "1").exists() == (other.keys() == {"config"})


def test_what_differs_between_equal_runs_stands_in_the_provenance(tmp_path):
    finish(tmp_path / "a")
    provenance = read_json(tmp_path / "a" / "provenance.json")
    assert provenance["versions"]["numpy"] == np.__version__
    assert {"host", "device", "seconds", "finished", "python", "machine"} < provenance.keys()


KILLED = """
import sys
from pathlib import Path
from hdgan.store.atomic import write_bytes
from hdgan.store.stage import open_stage
folder = Path(sys.argv[1])
with open_stage(folder, stage="tiles", config={}, seed=0, inputs={}) as stage:
    for i in range(300):
        if not (folder / f"{i}.bin").exists():
            write_bytes(folder / f"{i}.bin", bytes([i % 251]) * 20_000)
    if not stage.is_current:
        stage.seal(counts={"files": 300})
"""


def test_a_stage_killed_again_and_again_ends_with_the_bytes_of_one_that_was_not(tmp_path):
    for after in (0.0, 0.05, 0.1, 0.2):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "a")])
        deadline = time.monotonic() + 30
        while not (tmp_path / "a" / "inprogress.json").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(after)
        process.kill()
        process.wait()
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=True)
    trees = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir() if p.name != "provenance.json"} for n in ("a", "b")]
    assert trees[0] == trees[1]
    assert len(trees[0]) == 302


@pytest.mark.parametrize("other", [{"seed": 2}, {}], ids=["made from something else", "damaged"])
def test_what_cannot_be_made_is_refused_before_the_old_result_is_cleared(tmp_path, other):
    finish(tmp_path)
    if not other:
        write_text(tmp_path / "sub" / "out.txt", "changed")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def refuse():
        raise BadInput("setting", "cannot be")

    with pytest.raises(BadInput, match="cannot be"), open_stage(tmp_path, **BEGUN | other, redo=True, before_clearing=refuse):
        pass
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    asked = []
    with open_stage(tmp_path, **BEGUN | other, redo=True, before_clearing=lambda: asked.append(1)) as stage:
        assert not stage.is_current
    assert asked == [1]


def test_nobody_asks_whether_it_can_be_made_where_nothing_is_cleared(tmp_path):
    finish(tmp_path / "a")
    for folder, redo in ((tmp_path / "a", True), (tmp_path / "a", False), (tmp_path / "new", True)):
        with open_stage(folder, **BEGUN, redo=redo, before_clearing=lambda: pytest.fail("asked")):
            pass


def test_a_finished_stage_that_may_only_be_read_is_current_and_nothing_is_written(tmp_path, monkeypatch):
    finish(tmp_path / "a")
    (tmp_path / "a" / ".lock").unlink()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(stages.os, "access", lambda _, mode: mode != stages.os.W_OK)  # root may write anywhere
    for redo in (False, True):
        with open_stage(tmp_path / "a", **BEGUN, redo=redo) as stage:
            assert stage.manifest == read_manifest(tmp_path / "a")
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(StaleStage, match="seed"), open_stage(tmp_path / "a", **BEGUN | {"seed": 2}):
        pass
