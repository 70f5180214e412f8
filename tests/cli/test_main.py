from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer

from hdgan.cli import main as command
from hdgan.errors import BadInput, HdganError, Interrupted, OutOfSpace
from hdgan.slides.pseudonyms import make_key, open_key
from tests.slides.painting import paint, write_slide

# The flags of every verb. A change here is a change for every script that people wrote: say so in CHANGELOG.md.
FLAGS = {
    "demo": ["--out", "-o"],
    "doctor": [],
    "run": ["config", "--out", "-o", "--plan", "--first", "--until", "--corrections", "--redo"],
    "inspect": ["slides", "--mpp", "--slide-mpp", "--pictures", "--pseudonym-key"],
    "tile": [
        *("run", "--config", "-c", "--redo", "--what-if", "--at", "--rebuild", "--format", "--strict"),
        *("--workers", "-j", "--scheduler", "--shard", "--sbatch", "--shards", "--recut-changed-code", "--retry-left-out"),
    ],
    "train": ["run", "--config", "-c", "--plan", "--redo"],
    "sample": ["run", "--config", "-c", "--redo", "--interpolate", "--way"],
    "import-masks": ["run", "masks", "--config", "-c", "--corrections", "--redo"],
    "extract": ["run", "--config", "-c", "--redo", "--memory-budget", "--disk-budget"],
    "fit": ["run", "--config", "-c", "--plan", "--redo", "--memory-budget", "--disk-budget"],
    "evaluate": ["run", "--config", "-c", "--redo"],
    "synthesize": ["run", "--config", "-c", "--redo"],
    "segment": ["run", "--config", "-c", "--redo"],
    "export-generator": ["run", "file", "--blocks"],
    "import-weights": ["file", "out", "--mpp", "--generator-only", "--config", "-c"],
    "compare-masks": ["run", "masks", "--annotator"],
    "export-masks": ["run", "folder", "--sheets"],
    "export-tiles": ["run", "--out", "-o", "--size", "--format", "--folds", "--labels", "--native"],
    "quality": [
        *("run", "--num", "--psi", "--seed", "--condition", "--held-out", "--may-show", "--encoder", "--encoder-input"),
        *("--curve", "--blind", "--attribution", "--score-blind"),
    ],
    "suggest": ["run", "--num"],
    "ablate": ["run", "--what", "--repeats", "--members"],
    "latent": ["run"],
    "verify": ["run"],
    "paint": ["folder", "--patients", "--size", "--mpp", "--tile-px", "--tile-mpp", "--stains", "--scale", "--density", "--seed"],
}


def test_flags_of_every_verb_are_as_people_know_them():
    group = typer.main.get_command(command.whole_command())
    found = {}
    for name, verb in group.commands.items():
        options = [[parameter.name] if parameter.param_type_name == "argument" else parameter.opts for parameter in verb.params]
        found[name] = [flag for flags in options for flag in flags]
    assert found == FLAGS


def test_every_verb_is_in_the_reference():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "verbs.md").read_text()
    for verb, flags in FLAGS.items():
        assert f"`hdgan {verb}" in page
        for flag in flags:
            assert not flag.startswith("--") or flag in page


def test_a_verb_alone_is_what_it_is_beside_the_others():
    group = typer.main.get_command(command.whole_command())
    for name in FLAGS:
        alone = typer.main.get_command(command.command_of(name))
        assert list(alone.commands) == [name]
        assert alone.help == group.help
        told = [[(p.name, p.opts, p.default, getattr(p, "help", "")) for p in of.commands[name].params] for of in (alone, group)]
        assert told[0] == told[1]


def test_a_verb_that_is_called_builds_no_other(hdgan, monkeypatch):
    built = []
    plain = command.command_of
    command.whole_command.cache_clear()
    monkeypatch.setattr(command, "command_of", lambda *names: built.append(names) or plain(*names))
    assert hdgan("tile", "--help")[0] == 0
    assert built == [("tile",)]
    for _ in range(2):
        code, out, _ = hdgan("--help")
        assert code == 0
        assert all(name in out for name in FLAGS)
    assert built == [("tile",), tuple(command.VERBS)], "help and misspelt verbs know all, built once"


def test_a_verb_that_is_called_imports_no_other():
    program = "import sys; from hdgan.cli.main import main\nsys.argv = ['hdgan', 'tile', '--help']\n"
    program += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
    program += "brought = {'hdgan.cli.run', 'hdgan.cli.ablate', 'hdgan.cli.train'} & sys.modules.keys()\nassert not brought, brought"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_garbage_is_collected_while_a_verb_works_and_after_it_as_before(monkeypatch, hdgan):
    seen = []
    monkeypatch.setattr("hdgan.cli.doctor.doctor", lambda: seen.append(gc.isenabled()))
    monkeypatch.setattr(command, "_root", lambda: seen.append(gc.isenabled()))
    assert gc.isenabled()
    assert hdgan("doctor")[0] == 0
    assert seen == [False, True]
    assert gc.isenabled()
    assert hdgan("doctor", "--colour")[0] == 2
    assert gc.isenabled()


def test_what_was_imported_is_not_looked_through_for_garbage_when_the_program_ends():
    program = (
        "import atexit, gc, sys; atexit.register(lambda: print(len(gc.get_objects()), gc.get_freeze_count()))\n"  # the last to be called
    )
    program += "from hdgan.cli.main import main\nsys.argv = ['hdgan', 'tile', '--help']\nmain()"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    num_left, num_frozen = map(int, done.stdout.splitlines()[-1].split())
    assert num_left < 1000 < num_frozen


def test_an_unknown_verb_or_flag_ends_with_code_2(hdgan):
    assert hdgan("tyle")[0] == 2
    assert hdgan("tile", "somewhere", "--colour")[0] == 2


def test_a_missing_file_of_settings_is_one_line(tmp_path, refused):
    line = refused("run", str(tmp_path / "absent.toml"))
    assert "absent.toml: no such file" in line


def test_an_unknown_key_is_one_line_and_nothing_is_written(tmp_path, refused):
    settings = tmp_path / "settings.toml"
    settings.write_text('[run]\nname = "x"\nsede = 1\n[tiles]\nslides = ["s"]\nmpp = 1\ntile_px = 64\n')
    line = refused("run", str(settings), "--out", str(tmp_path / "out"))
    assert f"{settings}: run.sede: unknown key; did you mean 'seed'?" in line
    assert not (tmp_path / "out").exists()


def test_a_run_without_settings_is_one_line(tmp_path, refused):
    assert "holds no config.toml; give the settings" in refused("tile", str(tmp_path / "nothing"))


def test_a_broken_slide_is_one_line(tmp_path, refused):
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"II*\0 this is no slide")
    assert "broken.svs" in refused("inspect", str(broken))


def test_with_the_key_each_slide_is_told_with_its_pseudonyms(tmp_path, hdgan, refused):
    write_slide(tmp_path / "doe.tif", paint(64, 64))
    (tmp_path / "slides.csv").write_text("path,patient\ndoe.tif,Doe\n")
    make_key(tmp_path / "key")
    names = open_key(tmp_path / "key")
    known_as = f"({names.slide('doe')} of {names.patient('Doe')})"
    code, out, _ = hdgan("inspect", tmp_path / "slides.csv", "--pseudonym-key", tmp_path / "key")
    assert code == 0
    assert out.startswith(f"doe {known_as}: ")
    (tmp_path / "doe.tif").write_bytes(b"no slide")
    line = refused("inspect", str(tmp_path / "slides.csv"), "--pseudonym-key", str(tmp_path / "key"))
    assert f"{tmp_path / 'doe.tif'}: is a text file" in line
    assert known_as in line


def test_an_empty_folder_of_slides_is_one_line(tmp_path, refused):
    assert "holds no slide" in refused("inspect", str(tmp_path))


def test_a_folder_that_is_no_run_cannot_be_verified(tmp_path, refused):
    assert "holds no finished stage" in refused("verify", str(tmp_path))


@pytest.mark.parametrize(
    ("raised", "expected", "text"),
    [
        (KeyboardInterrupt(), Interrupted, "the same command goes on"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), OutOfSpace, "/x/y: no space is left"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), HdganError, "/x/y: Permission denied; choose a folder"),
    ],
)
def test_what_a_user_can_mend_becomes_an_error_of_ours(raised, expected, text):
    def verb() -> None:
        raise raised

    with pytest.raises(expected, match=text):
        command.mendable(verb)()


@pytest.mark.parametrize("closed", ["a.csv", "."])
def test_what_may_not_be_read_asks_for_no_other_folder_to_write_to(tmp_path, monkeypatch, closed):
    (tmp_path / "a.csv").touch()
    denied = (tmp_path / closed, os.X_OK if closed == "." else os.R_OK)
    monkeypatch.setattr(os, "access", lambda path, mode: (Path(path), mode) != denied)

    def verb() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a.csv"))

    with pytest.raises(HdganError, match=r"a\.csv: Permission denied; ask whoever owns it for the right to read it"):
        command.mendable(verb)()


@pytest.mark.parametrize("run", ["notes.txt", "notes.txt/run"])
def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path, refused, run):
    (tmp_path / "notes.txt").write_text("mine")
    write_slide(tmp_path / "a.tif", paint())
    settings = '[run]\nname = "x"\n[tiles]\nslides = ["a.tif"]\nmpp = 1.0\ntile_px = 64\nnum_folds = 1\n[generator]\nresolution = 64\n'
    (tmp_path / "x.toml").write_text(settings)
    line = refused("tile", tmp_path / run, "--config", tmp_path / "x.toml", "--workers", "0")
    assert f"{tmp_path / 'notes.txt'}: is a file, and a folder is needed there; choose another name" in line
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_error_that_no_user_can_mend_keeps_its_traceback():
    def verb() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command.mendable(verb)()


@pytest.mark.parametrize(("error", "code"), [(BadInput("a.svs", "is\nbroken"), 2), (Interrupted("stopped"), 75)])
def test_the_exit_code_and_the_line_are_those_of_the_error(error, code, monkeypatch, hdgan):
    def app() -> None:
        raise error

    monkeypatch.setattr(command, "whole_command", lambda: app)
    found, out, line = hdgan()
    assert (found, out) == (code, "")
    assert line == "hdgan: " + " ".join(str(error).split()) + "\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_that_comes_before_a_stage_listens_says_resume_me_too(name, monkeypatch, capsys):
    number = getattr(signal, name)
    unheard = []
    before = signal.signal(number, lambda *_: unheard.append(name))
    monkeypatch.setattr(sys, "argv", ["hdgan", "verify", "run"])
    monkeypatch.setattr(command, "command_of", lambda _: signal.raise_signal(number))  # while the verb's libraries are imported
    try:
        with pytest.raises(SystemExit) as end:
            command.main()
        signal.raise_signal(number)
    finally:
        signal.signal(number, before)
    assert end.value.code == Interrupted.exit_code
    assert capsys.readouterr().err == f"hdgan: stopped by {name}; the same command goes on from here\n"
    assert unheard == [name]  # the one after the command's end


def test_doctor_names_what_is_missing_and_how_to_get_it(monkeypatch, hdgan):
    from hdgan.cli import doctor

    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("torch", "openslide-bin") else real(name))
    code, out, _ = hdgan("doctor")
    assert code == 0
    assert "missing: torch; get it with: pip install 'hdgan[gan]'" in out
    assert "missing: openslide-bin; get it with: pip install 'hdgan'" in out
    assert "not all there" in out


def test_the_installed_command_is_this_one():
    (point,) = entry_points(group="console_scripts", name="hdgan")
    assert point.load() is command.main


def test_threads_wait_without_spinning_and_that_is_settled_before_torch_is_there():
    program = "import sys, os, hdgan.cli.main as m; assert 'torch' not in sys.modules\n"
    program += "m.whole_command = lambda: lambda: print(os.environ['OMP_WAIT_POLICY']); m.main()"
    for given, found in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"} | (
            {"OMP_WAIT_POLICY": given} if given else {}
        )
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == found


@pytest.mark.parametrize("name", ["mine", "mine/a.safetensors", "mine/a/b.safetensors"])
def test_a_file_where_a_folder_is_needed_is_named_in_a_line(name, tmp_path):
    from hdgan.store.atomic import write_bytes

    (tmp_path / "mine").write_text("a letter")
    with pytest.raises(HdganError, match="mine: is a file, and a folder is needed there; choose another name"):
        command.mendable(lambda: write_bytes(tmp_path / name / "out", b""))()
    assert (tmp_path / "mine").read_text() == "a letter"


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(FileExistsError):
        command.mendable(lambda: tmp_path.mkdir())()
