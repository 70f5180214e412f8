"""Trained weights in networks of a higher resolution or of more channels, so that at first they do what they did.

The generator's image is a sum over its blocks (arXiv 1912.04958, section 4): new blocks whose toRGB is zero leave it the
old image, upsampled. A discriminator's new block is a linear path beside two convolutions: with the latter silent, the
former hands what the old fromRGB made of the colours to the old blocks. More channels than before begin without
influence on the old ones (function-preserving growth, arXiv 1511.05641). Letters: O out, I in, C channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.generator.layers import LEAK, ROOT2
from hdgan.generator.networks import Discriminator, Generator
from hdgan.training.seeds import torch_stream

_NUM_COLOURS = 2048
COPIED, WIDENED, ZEROED, FITTED, FRESH = "copied", "widened", "zeroed", "fitted", "fresh"
"""What became of a weight."""


def fitted(name: str, new: Tensor, old: Tensor | None) -> tuple[Tensor, str]:
    """The weight called `name`, and what became of it: `old` where shapes agree, `old` in a corner of `new`, or `new`.

    Old outputs do not see new inputs, and inputs are scaled where the layer divides by the root of their number.
    """
    if old is None or old.dim() != new.dim():
        return new, FRESH
    if old.shape == new.shape:
        return old.to(new), COPIED
    has_labels_added = name == "mapping.fc0.weight"
    if any(n < o for n, o in zip(new.shape, old.shape, strict=True)) or (not _may_widen(name) and not has_labels_added):
        return new, FRESH
    value, scale = new.clone(), 1.0
    if new.dim() == 4 or has_labels_added:
        value[: old.shape[0]] = 0
        is_demodulated = name.startswith("synthesis.") and ".conv" in name
        scale = 1.0 if is_demodulated else math.sqrt(new.shape[1] / old.shape[1])
    value[tuple(slice(size) for size in old.shape)] = old.to(new) * scale
    return value, WIDENED


def _may_widen(name: str) -> bool:
    """Not noise maps, nor mappings, nor a discriminator's last block, whose statistics are a mean over channels."""
    return not name.startswith(("mapping.", "b4.")) and "noise" not in name


@torch.no_grad()
def silence_new_blocks(G: Generator, *, above: int) -> dict[str, str]:
    """Lets the blocks of more than `above` px add nothing to the image; what became of which weight."""
    done = {}
    for resolution in G.spec.block_resolutions:
        if resolution > above:
            for part in ("weight", "bias"):
                name = f"synthesis.b{resolution}.torgb.{part}"
                G.get_parameter(name).zero_()
                done[name] = ZEROED
    return done


@torch.no_grad()
def see_through_new_blocks(D: Discriminator, *, above: int, weight: Tensor, bias: Tensor) -> dict[str, str]:
    """Lets the blocks of more than `above` px hand on what the old fromRGB, `weight [C, 3, 1, 1]` and `bias [C]`, made of an image.

    The new fromRGB has the rows of the old one that the others follow from best; the last new block restores the others
    from them, by least squares over colours. Exact where the new fromRGB is as wide as the old one and the image smooth.
    What became of which weight; nothing for a discriminator without skips, whose new blocks begin afresh.
    """
    if D.spec.discriminator != "resnet":
        return {}
    done: dict[str, str] = {}
    new = [resolution for resolution in reversed(D.spec.block_resolutions) if resolution > above]
    top = D.get_submodule(f"b{new[0]}").get_submodule("fromrgb")
    colours = torch.rand(_NUM_COLOURS, weight.shape[1], generator=torch_stream(0, "generator.growth")) * 2 - 1
    seen = _from_colours(colours, weight.cpu().float(), bias.cpu().float())
    num = min(D.spec.channels(new[0]), len(bias))
    rows = _representatives(seen, num)
    for part, value in (("weight", weight), ("bias", bias)):
        parameter = top.get_parameter(part)
        parameter[:num] = value[rows].to(parameter)
        done[f"b{new[0]}.fromrgb.{part}"] = FITTED
    restore = torch.linalg.lstsq(seen[:, rows], seen, driver="gelsd").solution.t()  # [C, num]
    for resolution in new:
        handed_on = restore if resolution == new[-1] else torch.eye(num)
        skip = D.get_parameter(f"b{resolution}.skip.weight")
        skip.zero_()
        # The path divides by the root of its inputs' number and multiplies by the root of a half.
        skip[: len(handed_on), :num, 0, 0] = (handed_on * math.sqrt(2 * skip.shape[1])).to(skip)
        D.get_parameter(f"b{resolution}.conv1.weight").zero_()
        D.get_parameter(f"b{resolution}.conv1.bias").zero_()
        done |= {f"b{resolution}.skip.weight": FITTED, f"b{resolution}.conv1.weight": ZEROED, f"b{resolution}.conv1.bias": ZEROED}
    return done


def _from_colours(colours: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What a fromRGB makes of colours `[K, I]`: `[K, C]`."""
    return F.leaky_relu(F.linear(colours, weight.flatten(1) / math.sqrt(weight.shape[1]), bias), LEAK) * ROOT2


def _representatives(seen: Tensor, num: int) -> list[int]:
    """The `num` columns of `seen [K, C]` of which the others are nearest to being sums, by greedy orthogonalisation."""
    rest, chosen = seen.clone(), list[int]()
    for _ in range(num):
        energy = rest.square().sum(dim=0)
        energy[torch.tensor(chosen, dtype=torch.long)] = -1.0
        chosen.append(int(energy.argmax()))
        direction = F.normalize(rest[:, chosen[-1]], dim=0)
        rest = rest - torch.outer(direction, direction @ rest)
    return chosen
