"""`hdgan evaluate`."""

from __future__ import annotations

import typer

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


def evaluate(run: Run, config: Config = None, redo: Redo = False) -> None:
    """Measure the classifiers on held-out annotated images, beside three controls."""
    run_stage("evaluation", run, config=config, redo=redo)
    from hdgan.evaluation.paper import paper_table
    from hdgan.evaluation.stage import PAGE, REPORT
    from hdgan.store.atomic import read_json
    from hdgan.store.layout import RunFolder

    folder = RunFolder(run).folder("evaluation")
    report = read_json(folder / REPORT)
    for line in paper_table(report):
        typer.echo(line)
    if "random" in report:
        typer.echo(f"on the {len(report['random']['images'])} images drawn at random:")
        for line in paper_table({**report, **report["random"]}):
            typer.echo(line)
    typer.echo(f"masks by {report['annotator']}; everything else: {folder / PAGE}")
