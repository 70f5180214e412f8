"""What the verbs of single stages share: open the run, run the stage, say where to look."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hdgan.pipeline.run import Outcome


def run_stage(
    stage: str,
    run: Path,
    *,
    config: Path | None,
    redo: bool,
    first: str | None = None,
    changes: Mapping[str, object] | None = None,
    changed_section: str | None = None,
) -> None:
    """Runs `stage` of the run in folder `run`, or all from `first` to it, and says where the outputs are.

    `changes` go before the settings of `changed_section`, its own unless given.
    """
    from hdgan.cli.progress import showing, span
    from hdgan.pipeline.run import open_run, run_all, run_one
    from hdgan.progress import SILENT
    from hdgan.training.ranks import rank_of, refuse_company

    if stage != "generator":
        refuse_company(stage)
    is_first = rank_of().is_first
    opened = open_run(run, config=config).changed(changed_section or stage, **(changes or {}))
    outcomes: tuple[Outcome, ...]
    with showing() if is_first else nullcontext(SILENT) as progress:
        if first is None:
            outcomes = (run_one(opened, stage, redo=redo, progress=progress),)
        else:
            outcomes = run_all(opened, first=first, until=stage, redo=redo, progress=progress)
    for outcome in outcomes if is_first else ():
        what = "current, nothing to do" if outcome.was_current else f"done in {span(outcome.seconds)}"
        typer.echo(f"{outcome.stage}: {what} ({outcome.folder})")
