"""`hdgan evaluate`."""

from __future__ import annotations

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def evaluate(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Measure the classifiers on held-out annotated images, beside three controls."""
    run_stage("evaluation", run, config=config, redo=redo)
