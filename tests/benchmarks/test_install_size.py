from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .scripts import FOLDER


@pytest.fixture
def site(tmp_path):
    """Installed packages: `small`, of two modules, one compiled, and a file that is of no distribution."""
    folder = tmp_path / "site"
    files = {"small/a.py": 100, "small/__pycache__/a.cpython-311.pyc": 30, "small/__pycache__/other.cpython-311.pyc": 7, "b.so": 1000}
    for name, size in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)
    distribution(folder, "Small_Thing", ("small/a.py", "b.so"))
    return folder


def distribution(folder, name, files):
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def measured(site, out):
    command = [sys.executable, FOLDER / "install_size.py", "--site", site, "--out", out]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_files_are_counted_for_the_distribution_that_lists_them(site, tmp_path):
    done = measured(site, tmp_path / "sizes.json")
    assert done.returncode == 0
    found = json.loads((tmp_path / "sizes.json").read_text())
    assert found["sizes"] == {"small-thing": 1130}
    about = sum(file.stat().st_size for file in site.glob("*.dist-info/*"))
    assert found["rest"] == 7 + about
    assert done.stdout.splitlines()[-1].startswith("in all 0.0 MB (at most 400 wanted); of torch, ")


@pytest.mark.parametrize("why", ["torch", "size"])
def test_torch_and_too_many_megabytes_are_told_by_the_exit_code(site, tmp_path, why):
    if why == "torch":
        distribution(site, "torch", ())
    else:
        with (site / "b.so").open("wb") as file:
            file.truncate(401_000_000)
    done = measured(site, tmp_path / "sizes.json")
    assert done.returncode == 1
    assert "MB (at most 400 wanted)" in done.stdout.splitlines()[-1]
    assert done.stdout.splitlines()[-1].endswith("torch" if why == "torch" else "none")
