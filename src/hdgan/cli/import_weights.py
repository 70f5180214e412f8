"""`hdgan import-weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Config

File = Annotated[
    Path, typer.Argument(help="Checkpoint of stylegan2-ada-pytorch, stylegan3 (StyleGAN2 networks) or rosinality.", show_default=False)
]
Out = Annotated[Path, typer.Argument(help="Folder of a run without a generator, or a new file OUT.safetensors.", show_default=False)]
Mpp = Annotated[float | None, typer.Option(help="Scale of the images that it draws, um/px.", min=0.01, show_default=False)]
Only = Annotated[bool, typer.Option("--generator-only", help="Read the averaged generator alone, whatever else the file holds.")]


def import_weights(file: File, out: Out, mpp: Mpp = None, generator_only: Only = False, config: Config = None) -> None:
    """Read published weights, running nothing that the file holds, and keep them as a run's generator or as one file."""
    from hdgan.generator.foreign.importing import import_file, import_stage
    from hdgan.generator.weights import FILE
    from hdgan.pipeline.run import SETTINGS, open_run
    from hdgan.store.layout import RunFolder

    if out.suffix == ".safetensors":
        weights, written = import_file(file, out, mpp=mpp), out
    else:
        is_set_up = config is not None or (out / SETTINGS).exists()
        seed = open_run(out, config=config).config.run.seed if is_set_up else 0
        weights, _ = import_stage(file, out, seed=seed, mpp=mpp, only_generator=generator_only)
        written = RunFolder(out).folder("generator") / FILE
    spec, num = weights.spec, sum(array.size for array in weights.networks["G_average"].values())
    labels = f", {spec.label_dim} labels" if spec.label_dim else ""
    typer.echo(
        f"{weights.facts['layout']}: {spec.resolution} px, {spec.image_channels} channels{labels}, {num / 1e6:.1f} million numbers: {written}"
    )
    for note in weights.facts["notes"]:
        typer.echo(f"note: {note}")
