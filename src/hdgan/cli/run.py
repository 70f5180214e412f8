"""`hdgan run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Corrections, Redo

Settings = Annotated[Path, typer.Argument(help="Settings (TOML), such as recipes/kidney_pas.toml.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder of the run; without it, out/name of the settings, or the run whose own config.toml these are.",
        show_default=False,
    ),
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Print what each stage would read, write and need, and do nothing.")]
First = Annotated[str | None, typer.Option("--first", help="First stage to run.", show_default=False)]
Until = Annotated[str | None, typer.Option("--until", help="Last stage to run.", show_default=False)]


def run(
    config: Settings,
    out: Out = None,
    plan: PlanOnly = False,
    first: First = None,
    until: Until = None,
    corrections: Corrections = None,
    redo: Redo = False,
) -> None:
    """Run every stage in order; skip what is current, resume what was interrupted."""
    if plan:
        _print_plan(config, out)
        return
    from hdgan.cli.progress import showing, span
    from hdgan.pipeline.config import RunConfig
    from hdgan.pipeline.run import open_run, run_all, run_root
    from hdgan.pipeline.settings_file import read_settings
    from hdgan.training.ranks import refuse_company

    refuse_company("run")
    root = out or run_root(read_settings(config, RunConfig), config)
    opened = open_run(root, config=config)
    if corrections is not None:
        opened = opened.with_corrections(corrections)
    with showing() as progress:
        outcomes = run_all(opened, redo=redo, first=first, until=until, progress=progress)
    for outcome in outcomes:
        took = "current" if outcome.was_current else span(outcome.seconds)
        typer.echo(f"{outcome.stage:12} {took:>14}  {outcome.folder}")


def _print_plan(config: Path, out: Path | None) -> None:
    from hdgan.cli.plan import lines
    from hdgan.pipeline.config import RunConfig
    from hdgan.pipeline.plan import make_plan
    from hdgan.pipeline.run import run_root, settings_base
    from hdgan.pipeline.settings_file import read_settings

    settings = read_settings(config, RunConfig, lenient=True)
    for line in lines(make_plan(settings, root=out or run_root(settings, config), base=settings_base(config))):
        typer.echo(line)
