"""`hdgan export-generator`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Run

File = Annotated[Path, typer.Argument(help="What to write: a new file that ends in .onnx or .pt2 (torch.export).", show_default=False)]
Blocks = Annotated[
    int | None,
    typer.Option(
        "--blocks",
        min=1,
        help="Feature maps of how many blocks are outputs too, the finest first; 5, or all where there are fewer.",
        show_default=False,
    ),
]
_USUAL_BLOCKS = 5

FORMS = {".onnx": "onnx", ".pt2": "torch"}


def export_generator(run: Run, file: File, blocks: Blocks = None) -> None:
    """Write the generator for other programs, with its feature maps as outputs; ONNX is checked with onnxruntime."""
    from hdgan.errors import BadConfig, BadInput, DamagedArtifact
    from hdgan.generator import export
    from hdgan.generator.weights import FILE, load_generator
    from hdgan.pipeline.run import refuse_stale
    from hdgan.store.layout import RunFolder

    form = FORMS.get(file.suffix)
    if form is None:
        raise BadInput(file, "is neither .onnx nor .pt2", "name the file by the format that is wanted")
    if file.exists():
        raise BadInput(file, "is there already", "choose a new file")
    refuse_stale(run, "generator")
    weights = RunFolder(run).folder("generator") / FILE
    if not weights.is_file():
        raise BadInput(weights, "no such weights", "train or import a generator first, or name the folder of another run")
    generator = load_generator(weights)
    num_there = len(generator.spec.block_resolutions)
    if blocks is not None and blocks > num_there:
        raise BadConfig("--blocks", f"{blocks}", f"this generator has {num_there} blocks")
    num_blocks = blocks or min(_USUAL_BLOCKS, num_there)
    module = export.export_generator(generator, file, form=form, num_blocks=num_blocks)  # type: ignore[arg-type]
    typer.echo(f"{file}: inputs {', '.join(module.input_names)}; outputs {', '.join(module.output_names)}")
    if form == "onnx":
        difference = export.onnx_difference(generator, file, num_blocks=num_blocks)
        typer.echo(f"onnxruntime draws the same images and maps, largest difference {difference:.1e}")
        if not difference <= export.TOLERANCE:
            file.unlink()
            raise DamagedArtifact(
                file, f"onnxruntime's images differ from ours by {difference:.2g}", "it was removed; use .pt2, and please report this"
            )
