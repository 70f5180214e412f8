"""Labels of large images on a GPU: ours against upsampling all maps, in one run: `python benchmarks/gpu/label_images.py --out $OUT/labels.json`.

Needs torch and numpy only. Random weights, channel base 32768 (496 channels in the last 5 blocks at 4096 px), one head and ten. Each row: seconds to
draw an image with its maps, to label it in strips as `hdgan` does, and to label it by upsampling and concatenating all maps (one head); peak GPU
memory of each; the largest difference of logits as a share of the largest, and the share of pixels with the same label. A way that does not fit is recorded.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from hdgan.classifier.factored import Folded, fold, logits, logits_reference
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser
from hdgan.generator.capture import captured
from hdgan.generator.networks import drawing_format, for_drawing
from hdgan.generator.spec import NetworkSpec

NUM_CLASSES = 5


def main() -> None:
    """Measures the chosen resolutions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--channel-base", type=int, default=32768)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for resolution in options.resolutions:
        for row in measure(resolution, options):
            rows.append(row)
            print(json.dumps(row), flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps({"torch": torch.__version__, "device": name_of(options.device), "rows": rows}, indent=1))


@torch.no_grad()
def measure(resolution: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each number of heads."""
    torch.manual_seed(0)
    spec = NetworkSpec(resolution=resolution, channel_base=options.channel_base)
    network = for_drawing(spec).to(options.device).to(memory_format=drawing_format(resolution)).eval().requires_grad_(False)
    ws = network.spread(network.mapping(torch.ones(1, spec.z_dim, device=options.device)), psi=0.7)
    names = [tap.name for tap in spec.taps(options.blocks)]
    draw: dict[str, Any] = {}
    found = timed(lambda: captured(network.synthesis, ws, noise="const", names=names)[1], "draw", draw, options)
    maps = [m[0].contiguous() for m in found]
    few = [m[:, ::2, ::2].flatten(1) for m in maps]
    moments = [torch.cat([f.mean(dim=1) for f in few]), torch.cat([f.std(dim=1, correction=0) for f in few]).clamp(min=1e-3)]
    rows = []
    for num in options.heads:
        members, standardiser = heads(len(moments[0]), num), Standardiser(*(values.cpu() for values in moments))
        folded = fold(members, standardiser).to(torch.device(options.device))
        row: dict[str, Any] = {"resolution": resolution, "heads": num, "channels": len(moments[0]), **draw}
        ours = timed(lambda folded=folded: whole(folded, maps, resolution), "label", row, options)
        if num == 1:
            try:
                there = [member.to(options.device) for member in members]
                plain = timed(
                    lambda there=there: logits_reference(there, Standardiser(*moments), maps, size=resolution), "plain", row, options
                )
            except torch.OutOfMemoryError:
                row["plain_seconds"] = "does not fit"
            else:
                row["difference"] = float((ours - plain).abs().max() / plain.abs().max())
                row["equal_labels"] = float((ours.argmax(dim=1) == plain.argmax(dim=1)).double().mean())
        rows.append(row)
    return rows


def heads(num_channels: int, num: int) -> list[PixelMlp]:
    """Classifiers wide enough apart that equal labels say something."""
    made = [PixelMlp(num_channels, NUM_CLASSES, hidden=(128, 32), dropout=0.3).eval() for _ in range(num)]
    for linear in (linear for head in made for linear in head.linears):
        torch.nn.init.kaiming_normal_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    return made


def whole(folded: Folded, maps: list[torch.Tensor], size: int) -> torch.Tensor:
    """Logits of all heads, the strips together."""
    return torch.cat([strip for _, strip in logits(folded, maps, size=size)], dim=2)


def timed(work: Callable[[], Any], name: str, row: dict[str, Any], options: argparse.Namespace) -> Any:
    """What `work` gives; the least seconds of some rounds after a first one, and on a GPU the most GiB it held, into `row`."""
    on_gpu = options.device.startswith("cuda")
    found, seconds = None, []
    for _ in range(options.rounds + 1):
        del found
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        begun = time.perf_counter()
        found = work()
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    row[f"{name}_seconds"] = round(min(seconds[1:]), 4)
    if on_gpu:
        row[f"{name}_peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found


def name_of(device: str) -> str:
    """The card, or the processor's kind."""
    return torch.cuda.get_device_name() if device.startswith("cuda") else device


if __name__ == "__main__":
    main()
