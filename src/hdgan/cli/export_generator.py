"""`hdgan export-generator`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Run

File = Annotated[Path, typer.Argument(help="What to write: a new file that ends in .onnx or .pt2 (torch.export).", show_default=False)]
Blocks = Annotated[int, typer.Option("--blocks", min=1, help="Feature maps of how many blocks are outputs too, the finest first.")]

FORMS = {".onnx": "onnx", ".pt2": "torch"}


def export_generator(run: Run, file: File, blocks: Blocks = 5) -> None:
    """Write the generator for other programs, with its feature maps as outputs; ONNX is checked with onnxruntime."""
    from hdgan.errors import BadInput, DamagedArtifact
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
    generator = load_generator(RunFolder(run).folder("generator") / FILE)
    module = export.export_generator(generator, file, form=form, num_blocks=blocks)  # type: ignore[arg-type]
    typer.echo(f"{file}: inputs {', '.join(module.input_names)}; outputs {', '.join(module.output_names)}")
    if form == "onnx":
        difference = export.onnx_difference(generator, file, num_blocks=blocks)
        typer.echo(f"onnxruntime draws the same images and maps, largest difference {difference:.1e}")
        if not difference <= export.TOLERANCE:
            file.unlink()
            raise DamagedArtifact(
                file, f"onnxruntime's images differ from ours by {difference:.2g}", "it was removed; use .pt2, and please report this"
            )
