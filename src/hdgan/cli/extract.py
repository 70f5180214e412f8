"""`hdgan extract`."""

from __future__ import annotations

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def extract(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Check every annotated image against its latent and store what the generator knew of it."""
    run_stage("features", run, config=config, redo=redo)
