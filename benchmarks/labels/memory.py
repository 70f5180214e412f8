"""What `hdgan fit --plan` predicts against what extracting and fitting then take, by source of the features.

`python benchmarks/labels/memory.py [--resolutions 256 512 1024] [--images 16] [--sources native recompute upsampled] [--components N]
[--threads 1] [--out FILE]`.
Each row is a process of its own that does both stages: its peak memory is counted above what it held after importing torch. The images of a
size are drawn once for all its rows. Prints predicted and measured memory and disk, and their ratios.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

SOURCES = ("native", "recompute", "upsampled")
MIB = 2**20


def work(root: Path) -> dict[str, Any]:
    """One row, in this process."""
    import torch

    from hdgan.training.memory import most_held

    torch.zeros(1)
    idle = most_held() or float("nan")
    from scene import fitted

    return fitted(root, idle)


def main() -> None:
    """Prints a line for each resolution and source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--pixels", type=int, default=2048)
    parser.add_argument("--components", type=int, help="principal components that are learnt from; all channels unless given")
    parser.add_argument("--channel-base", type=int, help="that of the published networks unless given")
    parser.add_argument("--num-blocks", type=int, default=5)
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
    if options.worker:
        print(json.dumps(work(options.worker)))
        return
    if options.make:
        from scene import make

        make(options.make, resolution=options.resolutions[0], num=options.images, base=options.channel_base)
        print("{}")
        return
    rows = [row for resolution in options.resolutions for row in compare(resolution, options)]
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


def compare(resolution: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one size."""
    from scene import child, settings

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        script = Path(__file__).resolve()
        base = [] if options.channel_base is None else ["--channel-base", options.channel_base]
        child(script, "--make", root, "--resolutions", resolution, "--images", options.images, *base, threads=options.threads)
        for source in options.sources:
            fields = {"source": source, "members": options.members, "pixels": options.pixels, "dtype": options.dtype}
            fields |= {"num_blocks": options.num_blocks, "components": options.components}
            (root / "config.toml").write_text(settings(resolution, options.images, **fields))
            row = {"resolution": resolution, "images": options.images} | child(script, "--worker", root, threads=options.threads)
            print(line(row), flush=True)
            rows.append(row)
            for stage in ("5-features", "6-classifier"):
                shutil.rmtree(root / stage)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row as text."""
    memory = row["planned_bytes"] / row["measured_bytes"]
    text = f"{row['resolution']:5} px  {row['source']:10} memory planned {row['planned_bytes'] / MIB:7.0f}, measured {row['measured_bytes'] / MIB:7.0f} MiB"
    text += f" ({memory:4.2f}; extracting {row['planned_extracting'] / MIB:.0f}, {row['features_bytes'] / MIB:.0f})"
    disk = f"{row['planned_disk'] / row['measured_disk']:.3f}" if row["measured_disk"] else "1.000"
    text += f"  disk planned {row['planned_disk'] / MIB:7.0f}, measured {row['measured_disk'] / MIB:7.0f} MiB ({disk})"
    return text + f"  {row['features_seconds']:.0f} s + {row['classifier_seconds']:.0f} s"


if __name__ == "__main__":
    main()
