"""`hdgan extract`."""

from __future__ import annotations

import typer

from hdgan.cli.options import Config, DiskBudget, MemoryBudget, Redo, Run
from hdgan.cli.stage import run_stage


def extract(
    run: Run, config: Config = None, redo: Redo = False, memory_budget: MemoryBudget = None, disk_budget: DiskBudget = None
) -> None:
    """Check every annotated image against its latent and keep what the generator knew of it, where memory and disk allow."""
    from hdgan.cli.budgets import given, tapped

    run_stage("features", run, config=config, redo=redo, changes=given(memory_budget, disk_budget))

    from hdgan.features.bank import FeatureBank  # torch is heavy
    from hdgan.store.layout import RunFolder

    facts = FeatureBank(RunFolder(run).folder("features")).facts
    typer.echo(f"{tapped(facts)}; source: {facts.source}, {facts.dtype}")
