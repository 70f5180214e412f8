"""Extracting and fitting with features that are drawn again from the latents: peak memory of large images.

`python benchmarks/labels/fit_large.py [--resolution 4096] [--images 16] [--num-blocks 5] [--members 1] [--pixels 2048] [--memory-budget 6]
[--threads 2]`. Channel base 32768, random weights. One process draws samples and makes masks, another extracts and fits; its peak is counted
above what it held after importing torch. The source is `recompute`: nothing is stored. At 4096 px each image is drawn three times and takes
minutes of a core each time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

GB = 1e9


def main() -> None:
    """Prints what was planned and what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=4096)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--num-blocks", type=int, default=5)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--pixels", type=int, default=2048)
    parser.add_argument("--memory-budget", type=float, default=6.0, help="GB, a thousand million bytes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from memory import __file__ as worker
    from scene import child, settings

    fields = {"num_blocks": options.num_blocks, "members": options.members, "pixels": options.pixels, "source": "recompute"}
    fields["memory_budget_gib"] = options.memory_budget * GB / 2**30
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        child(Path(worker), "--make", root, "--resolutions", options.resolution, "--images", options.images, threads=options.threads)
        (root / "config.toml").write_text(settings(options.resolution, options.images, **fields))
        found = child(Path(worker), "--worker", root, threads=options.threads)
    row = {"resolution": options.resolution, "images": options.images, "num_blocks": options.num_blocks, "members": options.members} | found
    print(
        f"{options.resolution} px, {options.images} images, last {options.num_blocks} blocks, {options.members} classifiers "
        f"({found['members_at_once']} in a pass): peak {found['measured_bytes'] / GB:.2f} GB, planned {found['planned_bytes'] / GB:.2f} GB, "
        f"disk {found['measured_disk'] / GB:.1f} GB; extracted in {found['features_seconds']:.0f} s, fitted in {found['classifier_seconds']:.0f} s"
    )
    if options.out:
        options.out.write_text(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
