"""Budgets of memory and disk as verbs take them, and the plan that is made of them as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hdgan.features.bank import Facts
    from hdgan.pipeline.feature_plan import FeaturePlan


def given(memory_gib: float | None, disk_gib: float | None) -> dict[str, object]:
    """The settings of `[features]` that the options stand for."""
    budgets = {"memory_budget_gib": memory_gib, "disk_budget_gib": disk_gib}
    return {name: value for name, value in budgets.items() if value is not None}


def plan_of(root: Path, config: Path | None, budgets: dict[str, object]) -> FeaturePlan:
    """The plan for the run in folder `root`; writes nothing."""
    from hdgan.pipeline.config import RunConfig
    from hdgan.pipeline.feature_plan import plan_features
    from hdgan.pipeline.run import SETTINGS
    from hdgan.pipeline.settings_file import read_settings

    settings = read_settings(config or root / SETTINGS, RunConfig, lenient=True)
    features = settings.features.model_copy(update=budgets)
    return plan_features(settings.model_copy(update={"features": features}), root=root)


def plan_lines(plan: FeaturePlan) -> Iterator[str]:
    """What is tapped, what each source would need, which is chosen and why."""
    from hdgan.cli.plan import size
    from hdgan.features.bank import Facts

    work, choice, budget = plan.work, plan.choice, plan.budget
    facts = Facts(choice.source, "", work.taps, work.resolution, plan.mpp, 0, "")
    yield f"{tapped(facts)}, of {work.num_images} annotated images"
    yield f"{'source':12}{'memory':>10}{'disk':>10}   above an idle process with torch, extracting and fitting"
    for need in choice.needs:
        mark = "  <- chosen" if need.source == choice.source else ""
        yield f"{need.source:12}{size(need.memory):>10}{size(need.disk) if need.disk else 'none':>10}{mark}"
    origins = [("" if is_given else " (three quarters of what is there)") for is_given in (budget.is_memory_given, budget.is_disk_given)]
    yield f"budgets: memory {size(budget.memory)}{origins[0]}, disk {size(budget.disk)}{origins[1]}"
    yield f"{choice.source}: {choice.reason}"
    if choice.source == "recompute":
        yield f"each pass draws the images again; {choice.need.members_at_once} of {work.members} classifiers share one"
    if plan.extracted is not None:
        yield f"features are there already ({plan.extracted}); they are used while their settings stay"


def tapped(facts: Facts) -> str:
    """What is tapped, and how much tissue a cell of the coarsest map covers."""
    coarsest = min(facts.taps, key=lambda tap: tap.resolution)
    scale = "" if facts.um_per_coarsest_cell is None else f" = {facts.um_per_coarsest_cell:g} um"
    covers = f"a cell of the coarsest ({coarsest.name}) covers {facts.px_per_coarsest_cell:g} px{scale}"
    return f"{len(facts.taps)} maps of {facts.num_channels} channels in all, {covers}"
