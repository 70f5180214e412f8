"""Resolution-changing convolutions: filter and convolution apart against one folded convolution, forward and backward.

`python benchmarks/fir_convolutions.py [--device cuda] [--images 8] [--out FILE]` prints milliseconds and their ratio. The result
decides `hdgan.generator.ops.conv.double` and `halve`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hdgan.generator.ops import conv

PATHS = {"up": (conv.up_conv_apart, conv.up_conv), "down": (conv.down_conv_apart, conv.down_conv)}
SHAPES = ((192, 96, 16), (128, 64, 32), (64, 32, 64))  # coarse channels, fine channels, coarse edge


def milliseconds(path: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, repeats: int) -> float:
    """Median time of a forward and backward pass."""
    times = []
    for _ in range(repeats + 1):
        begun = _now(x.device)
        path(x, weight).sum().backward()
        times.append((_now(x.device) - begun) * 1000)
    return statistics.median(times[1:])


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Prints a row for each shape, type and direction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=8, help="in a pass")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for coarse, fine, edge in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            for name, (reference, folded) in PATHS.items():
                num_in, num_out, size = (coarse, fine, edge) if name == "up" else (fine, coarse, 2 * edge)
                x = torch.randn(options.images, num_in, size, size, device=options.device, dtype=dtype)
                x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
                weight = torch.randn(num_out, num_in, 3, 3, device=options.device, dtype=dtype, requires_grad=True)
                apart, together = (milliseconds(path, x, weight, options.repeats) for path in (reference, folded))
                rows.append({"path": name, "shape": [*x.shape], "dtype": str(dtype), "apart_ms": apart, "folded_ms": together})
                print(
                    f"{name:5} {tuple(x.shape)!s:20} {dtype!s:15} apart {apart:7.2f} ms  folded {together:7.2f} ms  ratio {apart / together:.2f}"
                )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
