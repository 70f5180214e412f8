"""`hdgan fit`."""

from __future__ import annotations

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def fit(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Train the pixel classifiers on the annotated images; extracts the features first where that was not done."""
    run_stage("classifier", run, config=config, redo=redo, first="features")
