"""`hdgan doctor`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import typer

BASE = ("numpy", "pillow", "pydantic", "shapely", "openslide-python", "openslide-bin", "tifffile", "imagecodecs", "matplotlib")
GAN = ("torch", "scipy", "safetensors", "monai", "tensorboard")
_LEAST_DISK = 5 * 2**30


def doctor() -> None:
    """Say what this machine has, what is missing, and how to get it."""
    missing = False
    typer.echo(f"python       {sys.version.split()[0]}" + ("" if sys.version_info >= (3, 11) else "  needs 3.11 or newer"))
    for extra, names in (("", BASE), ("gan", GAN)):
        absent = [name for name in names if _version(name) is None]
        present = ", ".join(f"{name} {_version(name)}" for name in names if name not in absent)
        typer.echo(f"{'base' if not extra else 'extra ' + extra:12} {present}")
        if absent:
            missing = True
            wish = f"hdgan[{extra}]" if extra else "hdgan"
            typer.echo(f"{'':12} missing: {', '.join(absent)}; get it with: pip install '{wish}'")
    for line in (*_devices(), *_machine()):
        typer.echo(line)
    typer.echo("all there" if not missing else "not all there: see the lines with 'missing'")


def _version(name: str) -> str | None:
    from hdgan.store.versions import installed_version

    return installed_version(name)


def _devices() -> list[str]:
    if _version("torch") is None:
        return ["device       unknown without torch"]
    import torch

    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return [f"device       {card.name}, {card.total_memory / 2**30:.0f} GiB" for card in found]
    return ["device       processor only: 64 to 128 px train in hours; 1024 px and more want a GPU"]


def _machine() -> list[str]:
    from hdgan.cli.plan import size
    from hdgan.pipeline.machine import cores, memory_bytes

    memory = memory_bytes()
    disk = shutil.disk_usage(Path.cwd())
    lines = [f"processor    {cores()} cores" + (f", {size(memory)} of memory" if memory else "")]
    scarce = "  little: a 64 px run needs about 1 GiB, the paper's setting hundreds" if disk.free < _LEAST_DISK else ""
    lines.append(f"disk         {size(disk.free)} free at {Path.cwd()}{scarce}")
    data = os.environ.get("HDGAN_DATA")
    lines.append(f"HDGAN_DATA   {data or 'not set: recipes and tests on real slides find their data by it'}")
    return lines
