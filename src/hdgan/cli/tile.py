"""`hdgan tile`."""

from __future__ import annotations

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def tile(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Cut the slides into tiles of one size and scale."""
    run_stage("tiles", run, config=config, redo=redo)
