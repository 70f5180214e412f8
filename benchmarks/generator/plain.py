"""StyleGAN2-ADA's layers as their formulas are written: the reference that the fast ones are timed against.

`with plain():` swaps every fast path of `hdgan.generator` for the formula it stands for. The networks keep their
parameters; their outputs agree to rounding (tests/benchmarks/test_generator_speed.py checks the published fingerprints
under it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdgan.generator import layers, networks, phases, state
from hdgan.generator.ops import bands, fir

ROOT2 = math.sqrt(2.0)


@contextmanager
def plain() -> Iterator[None]:
    """The formulas instead of the fast paths, everywhere."""
    swaps: tuple[tuple[Any, str, Any], ...] = (
        (layers.Conv, "forward", conv_forward),
        (layers.SynthesisLayer, "forward", layer_forward),
        (networks.fir, "upsample2_binomial", lambda x: fir.upsample2(x, _taps(x))),
        (bands, "is_drawing", lambda: False),  # no layer writes over its maps or goes in bands
        (phases.ema, "update", ema_update),
        (state, "_adam", adam),
    )
    with ExitStack() as stack:
        for owner, name, formula in swaps:
            stack.enter_context(mock.patch.object(owner, name, formula))
        yield


def conv_forward(self: layers.Conv, x: Tensor, *, gain: float = 1.0) -> Tensor:
    """Scaled weight, filter, convolution, bias, leaky ReLU, gain, clamp: one after the other."""
    weight = (self.weight * self.gain).to(x.dtype)
    if not self.is_down:
        y = F.conv2d(x, weight, padding=weight.shape[2] // 2)
    elif weight.shape[2] == 1:
        y = F.conv2d(fir.downsample2(x, _taps(x)), weight)
    else:
        y = F.conv2d(fir.filter2d(x, _taps(x), padding=(2, 2)), weight, stride=2)
    if self.bias is None:
        return y * gain
    y = F.leaky_relu(y + self.bias.to(x.dtype).view(1, -1, 1, 1), layers.LEAK) * (ROOT2 * gain)
    return y if self.clamp is None else y.clamp(-self.clamp * gain, self.clamp * gain)


def layer_forward(self: layers.SynthesisLayer, x: Tensor, w: Tensor, *, noise: str | Tensor = "const") -> Tensor:
    """Modulation of the activations, convolution, demodulation, noise, bias, leaky ReLU, gain, clamp."""
    styles = self.affine(w)
    energy = (self.weight[None] * styles[:, None, :, None, None]).square().sum(dim=(2, 3, 4))
    weight, x = self.weight.to(x.dtype), x * styles.to(x.dtype)[:, :, None, None]
    if self.is_up:
        grown = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = fir.filter2d(grown, _taps(x) * 2, padding=(1, 1))
    else:
        x = F.conv2d(x, weight, padding=1)
    x = x * (energy + 1e-8).rsqrt().to(x.dtype)[:, :, None, None]
    if self.has_noise and not (isinstance(noise, str) and noise == "none"):
        x = x + (self._noise_map(x, noise) * self.noise_strength).to(x.dtype)
    x = F.leaky_relu(x + self.bias.to(x.dtype).view(1, -1, 1, 1), layers.LEAK) * ROOT2
    return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


@torch.no_grad()
def ema_update(average: nn.Module, current: nn.Module, *, beta: float) -> None:
    """One parameter after the other."""
    for old, new in zip(average.parameters(), current.parameters(), strict=True):
        old.copy_(new.lerp(old, beta))
    for old_buffer, new_buffer in zip(average.buffers(), current.buffers(), strict=True):
        old_buffer.copy_(new_buffer)


def adam(network: nn.Module, settings: Any, *, interval: int) -> torch.optim.Adam:
    """Adam as torch builds it by default."""
    ratio = interval / (interval + 1) if interval else 1.0
    return torch.optim.Adam(network.parameters(), lr=settings.lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8)


def _taps(like: Tensor) -> Tensor:
    return torch.tensor(fir.BINOMIAL, dtype=like.dtype, device=like.device)
