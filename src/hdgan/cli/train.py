"""`hdgan train`."""

from __future__ import annotations

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def train(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Train the generator on the tiles; the same command resumes."""
    run_stage("generator", run, config=config, redo=redo)
