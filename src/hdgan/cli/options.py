"""The arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[Path, typer.Argument(help="Folder of the run, such as runs/kidney.", show_default=False)]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings (TOML). They are copied into the run; without it those of the run are used.", show_default=False
    ),
]
Redo = Annotated[bool, typer.Option("--redo", help="Make it again where settings or inputs changed. What a person drew is kept.")]
Corrections = Annotated[
    Path | None,
    typer.Option(
        "--corrections",
        help="Folder of corrections (GeoJSON) to paint over the masks; stands for annotations.corrections.",
        show_default=False,
    ),
]
MemoryBudget = Annotated[
    float | None,
    typer.Option(
        "--memory-budget",
        help="Memory that features and fitting may take, GiB; stands for features.memory_budget_gib.",
        min=0.001,
        show_default=False,
    ),
]
DiskBudget = Annotated[
    float | None,
    typer.Option(
        "--disk-budget", help="Disk that features may take, GiB; stands for features.disk_budget_gib.", min=0.0, show_default=False
    ),
]
