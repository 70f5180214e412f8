"""`hdgan verify`."""

from __future__ import annotations

import typer

from hdgan.cli.options import Run


def verify(run: Run) -> None:
    """Check every file of a run against the hashes in its manifests."""
    from hdgan.errors import BadInput, DamagedArtifact
    from hdgan.pipeline.steps import CONTROL, ORACLE, REAL
    from hdgan.store.layout import STAGES, RunFolder
    from hdgan.store.stage import MANIFEST, read_manifest
    from hdgan.store.stage import verify as verify_stage

    folders = [*(RunFolder(run).folder(stage) for stage in STAGES), *(run / name for name in (REAL, ORACLE, CONTROL))]
    finished = [folder for folder in folders if (folder / MANIFEST).exists()]
    if not finished:
        raise BadInput(run, "holds no finished stage", "name the folder of a run, such as runs/kidney")
    damage = []
    for folder in finished:
        lines = verify_stage(folder)
        typer.echo(f"{folder.name}: {len(read_manifest(folder).outputs)} files, " + (f"{len(lines)} damaged" if lines else "as written"))
        damage += lines
    for line in damage:
        typer.echo(line, err=True)
    if damage:
        raise DamagedArtifact(run, f"{len(damage)} files are not as they were written", "make those stages again with --redo")
