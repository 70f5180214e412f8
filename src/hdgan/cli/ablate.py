"""`hdgan ablate`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

What = Annotated[
    list[str] | None,
    typer.Option(
        "--what",
        help="blocks, images, heads, dropout, head (linear or not), taps, presets, cleanup, controls, snapshots; may be given several times. "
        "Without it all but presets and snapshots.",
        show_default=False,
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run that was fitted, such as runs/kidney.", show_default=False)]
Repeats = Annotated[int, typer.Option("--repeats", help="Fits of each trial, each with other draws.", min=1, max=100)]
Members = Annotated[
    int | None,
    typer.Option("--members", help="Heads in each trial; without it as the run's classifier has.", min=1, max=100, show_default=False),
]


def ablate(run: Folder, what: What = None, repeats: Repeats = 3, members: Members = None) -> None:
    """Take parts of the method away, one at a time, and measure what is left: a table and a chart."""
    from hdgan.cli.progress import showing
    from hdgan.pipeline.ablate import CHART, DEAR, TABLE, WHATS
    from hdgan.pipeline.ablate import ablate as work
    from hdgan.pipeline.run import open_run, refuse_stale
    from hdgan.training.ranks import refuse_company

    refuse_company("ablate")
    refuse_stale(run, "classifier")
    whats = list(dict.fromkeys(what)) if what else [name for name in WHATS if name not in DEAR]
    with showing() as progress:
        found = work(open_run(run), whats=whats, repeats=repeats, members=members, progress=progress)
    typer.echo(f"{'':30} {'macro Dice':>16} {'boundary IoU':>16}   on the test images, mean and spread of {repeats}")
    _tell([row for row in found.rows if row["part"] == "test"])
    at_random = [row for row in found.rows if row["part"] == "random"]
    if at_random:
        typer.echo(f"on the {at_random[0]['images']} images drawn at random:")
        _tell(at_random)
    typer.echo(f"written: {found.folder / TABLE}, {found.folder / CHART}")


def _tell(rows: Sequence[dict[str, Any]]) -> None:
    """A line for each value that was tried."""
    for name in dict.fromkeys((row["what"], row["value"]) for row in rows):
        mine = [row for row in rows if (row["what"], row["value"]) == name]
        typer.echo(f"{' '.join(name):30} {_told(mine, 'macro_dice'):>16} {_told(mine, 'boundary_iou'):>16}")


def _told(rows: Sequence[dict[str, Any]], column: str) -> str:
    values = [row[column] for row in rows if row[column] is not None]
    if len(values) < 2:  # one trial has no spread
        return f"{values[0]:.3f}" if values else "-"
    return f"{statistics.fmean(values):.3f} +- {statistics.pstdev(values):.3f}"
