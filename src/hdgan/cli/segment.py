"""`hdgan segment`."""

from __future__ import annotations

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def segment(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Train a segmenter on the dataset and test it on real images."""
    run_stage("downstream", run, config=config, redo=redo)
