"""What may be imported without torch stays so, and asking for help is quick."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LIGHT = ["hdgan", "hdgan.store", "hdgan.measures", "hdgan.refinement", "hdgan.plots", "hdgan.slides", "hdgan.tiles", "hdgan.annotations"]
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
if sys.argv[1] != "hdgan":
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
brought = sorted({"torch", "scipy"} & sys.modules.keys())  # the base install has neither
assert not brought, f"imported: {brought}"
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"TERM": "dumb"})


@pytest.mark.parametrize("package", LIGHT)
def test_a_light_package_imports_neither_torch_nor_scipy(package):
    done = run(sys.executable, "-c", IMPORT_ALL, package)
    assert done.returncode == 0, done.stderr


def test_cutting_slides_without_outlines_imports_no_shapely():
    """Starting is much of what a small slide takes."""
    code = "import sys, hdgan.cli.main, hdgan.pipeline.run, hdgan.tiles.stage, hdgan.tiles.hiring\n"
    code += "brought = {'shapely', 'hdgan.tiles.images', 'hdgan.tiles.cluster'} & sys.modules.keys()\nassert not brought, brought"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_help_takes_half_a_second_of_a_processor_and_no_torch():
    code = "import sys; sys.argv = ['hdgan', '--help']\nfrom hdgan.cli.main import main\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\nassert 'torch' not in sys.modules"
    fastest = 10.0
    for _ in range(5):
        before = os.times()
        done = run(sys.executable, "-c", code)
        after = os.times()  # processor time: a clock on the wall would count whatever else the machine does
        fastest = min(fastest, after.children_user + after.children_system - before.children_user - before.children_system)
        assert done.returncode == 0, done.stderr
    assert "tile" in done.stdout
    assert fastest < 0.5


def test_tiles_are_cut_without_torch(tmp_path):
    """The base install has none."""
    settings = tmp_path / "x.toml"
    settings.write_text('[run]\nname = "x"\n[tiles]\nslides = ["absent.svs"]\nmpp = 0.5\ntile_px = 64\n')
    code = "import sys; from hdgan.cli.main import main\nsys.modules['torch'] = sys.modules['scipy'] = None\n"
    code += f"sys.argv = ['hdgan', 'tile', {str(tmp_path / 'run')!r}, '--config', {str(settings)!r}]\nmain()\n"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 2, done.stderr
    assert "absent.svs: no such file" in done.stderr
