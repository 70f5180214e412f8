from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.errors import BadInput, Busy, DamagedArtifact, StaleStage
from hdgan.store.atomic import read_json, write_json, write_text
from hdgan.store.stage import StageFolder, open_stage, read_manifest, stage_changes, verify

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
@settings(max_examples=40, deadline=None)
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
