"""Dropout whose masks are cheap on a CPU, where drawing torch's was a large part of a segmenter's training step.

torch draws one double at a time for each value; here 64 random bits decide four values. Chances are therefore multiples of 1/65536.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 65_536


class Dropout(nn.Module):
    """Sets a share `p` of the values to 0 in training and divides the others by 1 - p (Srivastava et al. 2014).

    The masks are a function of torch's global random state, as those of `torch.nn.Dropout` are, but other ones.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p: {p} is not a share below 1")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """As many values as `x` has, in its shape."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        return x * _kept(x.shape, self.p).to(x.dtype)

    def extra_repr(self) -> str:
        """For printing."""
        return f"p={self.p}"


def with_our_dropout(module: nn.Module) -> nn.Module:
    """The same module, each `torch.nn.Dropout` in it replaced by ours."""
    for name, child in module.named_children():
        setattr(module, name, Dropout(child.p) if type(child) is nn.Dropout else with_our_dropout(child))
    return module


def _kept(shape: torch.Size, p: float) -> Tensor:
    """Float32: 0 for a value to drop, 1 / (1 - p) for one to keep."""
    bits = np.random.SFC64(int(torch.randint(2**62, ())))
    threshold = min(round(p * _LEVELS), _LEVELS - 1)
    draws = bits.random_raw((shape.numel() + 3) // 4).view(np.uint16)[: shape.numel()]
    gain = np.float32(_LEVELS / (_LEVELS - threshold))
    return torch.from_numpy(np.multiply(draws >= threshold, gain, dtype=np.float32)).view(shape)
