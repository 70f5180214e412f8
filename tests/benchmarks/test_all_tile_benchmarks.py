"""The one command that runs all benchmarks of tiles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .scripts import FOLDER, loaded


@pytest.fixture(scope="module")
def module():
    return loaded("tiles/all.py")


@pytest.mark.parametrize("biopsy", [None, Path("biopsy-a.tif")], ids=["painted", "real"])
def test_every_command_is_there_and_knows_its_options(module, tmp_path, biopsy):
    shared = (FOLDER / "tiles" / "painted_slide.py").read_text()
    found = module.runs(tmp_path, biopsy)
    assert {run.name for run in found} == {"reading", "job", "workers", "memory", "install", "kills", "folds", "faults"}
    assert any("biopsy-a.tif" in run.command for run in found) == (biopsy is not None)
    for run in found:
        if run.name == "faults":
            assert all(Path(name).is_file() for name in run.command[4:])
            continue
        source = Path(run.command[1]).read_text()
        for option in run.command[2:]:
            assert not option.startswith("--") or f'"{option}"' in source or ("slide_options(" in source and f'"{option}"' in shared), (
                option
            )


def test_one_that_fails_is_named_and_does_not_stop_the_others(module, capfd):
    code = "import sys; print('ran', sys.argv[1]); sys.exit(int(sys.argv[1]))"
    chosen = [module.Run(f"end{end}", "zero", (sys.executable, "-c", code, str(end))) for end in (0, 3, 0)]
    (failed,) = module.failures(chosen)
    assert failed.startswith("end3")
    assert failed.endswith("with 3")
    assert capfd.readouterr().out.count("ran ") == 3


def test_the_commands_are_listed_and_an_unknown_one_is_refused(tmp_path):
    script = [sys.executable, FOLDER / "tiles" / "all.py", "--cache", tmp_path / "cache"]
    listed = subprocess.run([*script, "--only", "memory", "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(listed) == 2
    assert all(line.startswith("memory: ") and "memory.py" in line for line in listed)
    assert not (tmp_path / "cache").exists()
    refused = subprocess.run([*script, "--only", "nothing"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "no benchmark is called nothing; there are reading, job," in refused.stderr
