"""`hdgan sample`."""

from __future__ import annotations

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def sample(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Draw the images from which people choose what to annotate."""
    run_stage("samples", run, config=config, redo=redo)
