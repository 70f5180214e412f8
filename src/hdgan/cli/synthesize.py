"""`hdgan synthesize`."""

from __future__ import annotations

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def synthesize(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Write labelled pairs: the dataset."""
    run_stage("dataset", run, config=config, redo=redo)
