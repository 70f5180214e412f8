"""`hdgan fit`."""

from __future__ import annotations

from typing import Annotated

import typer

from hdgan.cli.options import Config, DiskBudget, MemoryBudget, Redo, Run
from hdgan.cli.stage import run_stage

PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Print memory and disk of each source of features, which is chosen and why, and do nothing.")
]


def fit(
    run: Run,
    config: Config = None,
    plan: PlanOnly = False,
    redo: Redo = False,
    memory_budget: MemoryBudget = None,
    disk_budget: DiskBudget = None,
) -> None:
    """Train the pixel classifiers on the annotated images; extracts the features first where that was not done."""
    from hdgan.cli.budgets import given, plan_lines, plan_of

    budgets = given(memory_budget, disk_budget)
    if plan:
        for line in plan_lines(plan_of(run, config, budgets)):
            typer.echo(line)
        return
    run_stage("classifier", run, config=config, redo=redo, first="features", changes=budgets, changed_section="features")
