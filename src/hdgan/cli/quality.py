"""`hdgan quality`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hdgan.cli.options import Run

if TYPE_CHECKING:
    from hdgan.measures.resemblance import Resemblance

Num = Annotated[int, typer.Option("--num", help="Samples to draw, and real crops to compare them with.", min=16)]
Psi = Annotated[float, typer.Option("--psi", help="Truncation of the samples; 1: none.", min=0, max=1)]
Encoder = Annotated[
    Path | None, typer.Option("--encoder", help="ONNX file of a network whose features are compared; without it ours.", show_default=False)
]
Takes = Annotated[
    Literal["imagenet", "half", "unit"],
    typer.Option("--encoder-input", help="Pixels that the network takes: imagenet (standardised), half (-1 to 1), unit (0 to 1)."),
]
Seed = Annotated[int, typer.Option("--seed", help="Of the samples and crops.")]


def quality(run: Run, num: Num = 1000, psi: Psi = 1.0, seed: Seed = 0, encoder: Encoder = None, encoder_input: Takes = "imagenet") -> None:
    """Measure the generator's images beside real ones, and look for copies of training tiles."""
    from hdgan.cli.progress import showing
    from hdgan.measures.copies import CLOSEST_PERCENT
    from hdgan.measures.encoder import OnnxEncoder
    from hdgan.pipeline.quality import measure_quality
    from hdgan.pipeline.run import refuse_stale

    refuse_stale(run, "generator")
    given = None if encoder is None else OnnxEncoder(encoder, takes=encoder_input)
    with showing() as progress:
        found = measure_quality(run, num=num, psi=psi, seed=seed, embedder=given, progress=progress)
    by, tiles = found.about["embedder"]["name"], found.about["tiles"]
    typer.echo(f"{num:,} samples at psi {psi:g} and {num:,} crops of {tiles['trained']:,} training tiles, by {by}")
    typer.echo(f"{'':29} {'frechet':>9} {'kernel x 1000':>22} {'precision':>10} {'recall':>7} {'density':>8} {'coverage':>9}")
    _tell("samples", found.samples)
    _tell("other crops of the same tiles", found.floor)
    _tell("held-out crops", found.held_out)
    _tell("samples to held-out crops", found.samples_to_held_out)
    if found.copies is None:
        typer.echo("copies: not looked for, because every training tile overlaps every other")
    else:
        limit = f"{found.copies.threshold:.3f}, the nearest {CLOSEST_PERCENT:g} % of real crops to tiles that they are not from"
        typer.echo(f"copies: {found.copies.share:.1%} of the samples are nearer to a training crop than {limit}")
    typer.echo(f"written: {found.path}")


def _tell(name: str, found: Resemblance | None) -> None:
    if found is None:
        return
    kernel, shares = found.kernel, found.shares
    distances = f"{name:29} {found.frechet:9.2f} {kernel.mean * 1000:10.4g} +- {kernel.spread * 1000:8.3g}"
    typer.echo(f"{distances} {shares.precision:10.3f} {shares.recall:7.3f} {shares.density:8.3f} {shares.coverage:9.3f}")
