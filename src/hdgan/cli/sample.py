"""`hdgan sample`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage


class Way(StrEnum):
    """How a walk goes from one latent to the next."""

    linear = "linear"
    spherical = "spherical"


Interpolate = Annotated[
    Path | None,
    typer.Option(
        "--interpolate", help="Draw no samples but a walk through the latent space: sheet and video into this folder.", show_default=False
    ),
]
Ways = Annotated[Way, typer.Option("--way", help="With --interpolate: straight lines in w, or great circles in z.")]


def sample(run: Run, config: Config = None, redo: Redo = False, interpolate: Interpolate = None, way: Ways = Way.linear) -> None:
    """Draw the images from which people choose what to annotate."""
    if interpolate is None:
        run_stage("samples", run, config=config, redo=redo)
        return
    from hdgan.cli.progress import showing
    from hdgan.pipeline.run import open_run, refuse_stale
    from hdgan.samples import interpolate as walks

    opened = open_run(run, config=config)
    refuse_stale(run, "generator")
    asked, seed = opened.config.samples, opened.config.run.seed
    with showing() as progress:
        written = walks.interpolate(
            opened.stage("generator"),
            out=interpolate,
            psi=asked.psi,
            seed=seed,
            way=way.value,
            condition=asked.condition,
            progress=progress,
        )
    for path in written:
        typer.echo(str(path))
