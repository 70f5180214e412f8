"""What the verbs of single stages share: open the run, run the stage, say where to look."""

from __future__ import annotations

from pathlib import Path

import typer


def run_stage(stage: str, run: Path, *, config: Path | None, redo: bool) -> None:
    """Runs `stage` of the run in folder `run`, and says where its outputs are."""
    from hdgan.cli.progress import showing, span
    from hdgan.pipeline.run import open_run, run_one

    opened = open_run(run, config=config)
    with showing() as progress:
        outcome = run_one(opened, stage, redo=redo, progress=progress)
    if outcome.was_current:
        typer.echo(f"{stage}: current, nothing to do ({outcome.folder})")
    else:
        typer.echo(f"{stage}: done in {span(outcome.seconds)} ({outcome.folder})")
