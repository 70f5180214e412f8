"""Running a benchmark as the command that it is, reading what it prints, and tissue for it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from hdgan.store.archive import TileRow, write_archive
from hdgan.store.atomic import encode_png
from hdgan.store.stage import open_stage
from hdgan.testing.painter import paint

FOLDER = Path(__file__).parents[2] / "benchmarks"


def printed(script: str, *arguments: object) -> list[str]:
    """The lines that the benchmark prints."""
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | threads, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def numbers(text: str) -> list[float]:
    """Those in a line of nothing else."""
    return [float(number) for number in text.split()]


def loaded(script: str) -> ModuleType:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location(Path(script).stem, FOLDER / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def painted_tiles(folder: Path, *, num: int, size_px: int) -> Path:
    """`folder`, now a finished tiles stage of painted tissue."""
    rows = []
    for i in range(num):
        row = TileRow(f"{i:04d}.png", "s", f"p{i}", "a", "PAS", i, i * 48, 0, 48, size_px, 4.0, 0.1)
        rows.append((row, encode_png(paint(i, size_px=size_px, mpp=4.0, outline="full").image)))
    with open_stage(folder, stage="tiles", config={}, seed=0, inputs={}) as stage:
        write_archive(folder, rows)
        stage.seal(counts={"tiles": num})
    return folder
