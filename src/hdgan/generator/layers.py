"""The layers that StyleGAN2-ADA's networks are made of (arXiv 1912.04958, section 2 and appendix B).

Weights are stored with unit variance and scaled at use (equalised learning rate). Parameter names match those of
published checkpoints. Letters: N images, C channels, I in, O out, H and W px, D latent width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdgan.generator.ops import bands, conv, fir

LEAK = 0.2
ROOT2 = math.sqrt(2.0)


def leaky(x: Tensor, *, gain: float = ROOT2, clamp: float | None = None) -> Tensor:
    """Leaky ReLU (slope 0.2) times `gain`, limited to +-`clamp`."""
    x = F.leaky_relu(x, LEAK)
    x = x if gain == 1.0 else x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


class Linear(nn.Module):
    """`x [N, I]` to `[N, O]`, with a learning-rate multiplier and an optional leaky ReLU."""

    held_weight: Tensor | None
    held_bias: Tensor | None

    def __init__(self, num_in: int, num_out: int, *, lr: float = 1.0, bias: float = 0.0, is_activated: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_out, num_in) / lr)
        self.bias = nn.Parameter(torch.full((num_out,), bias))
        self.weight_gain = lr / math.sqrt(num_in)
        self.bias_gain = lr
        self.is_activated = is_activated
        self.register_buffer("held_weight", None, persistent=False)
        self.register_buffer("held_bias", None, persistent=False)

    def hold(self) -> None:
        """Scales the weights once and for all, for drawing; whoever changes them afterwards is not heard."""
        self.held_weight, self.held_bias = self.weight.detach() * self.weight_gain, self.bias.detach() * self.bias_gain

    def forward(self, x: Tensor) -> Tensor:
        """`[N, O]`."""
        weight = self.weight * self.weight_gain if self.held_weight is None else self.held_weight
        bias = self.bias * self.bias_gain if self.held_bias is None else self.held_bias
        y = F.linear(x, weight.to(x.dtype), bias.to(x.dtype))
        return leaky(y) if self.is_activated else y


class Conv(nn.Module):
    """A discriminator's convolution: weight scaled by 1/sqrt(I k^2), optional filter-and-halve, optional leaky ReLU."""

    def __init__(
        self, num_in: int, num_out: int, *, kernel: int, is_down: bool = False, is_activated: bool = True, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_out, num_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(num_out)) if is_activated else None
        self.gain = 1.0 / math.sqrt(num_in * kernel**2)
        self.is_down = is_down
        self.clamp = clamp

    def forward(self, x: Tensor, *, gain: float = 1.0) -> Tensor:
        """`[N, O, H, W]`, or half of it; `gain` multiplies the result.

        A gain above 0 commutes with the leaky ReLU: it scales the weight, which is small, instead of the maps.
        """
        scale = gain if self.bias is None else gain * ROOT2
        weight = self.weight * (self.gain * scale)
        bias = None if self.bias is None else (self.bias * scale).to(x.dtype)
        if not self.is_down:
            y = F.conv2d(x, weight.to(x.dtype), bias, padding=weight.shape[2] // 2)
        elif weight.shape[2] == 1:
            y = F.conv2d(fir.halve_binomial(x), weight.to(x.dtype), bias)
        else:
            y = conv.halve(x, weight, bias)
        if bias is None:
            return y
        return leaky(y, gain=1.0, clamp=None if self.clamp is None else self.clamp * gain)


class SynthesisLayer(nn.Module):
    """A 3x3 convolution whose weights are modulated by the latent and demodulated, noise, bias, leaky ReLU."""

    noise_const: Tensor
    held_energy: Tensor | None

    def __init__(
        self,
        num_in: int,
        num_out: int,
        *,
        w_dim: int,
        resolution: int,
        is_up: bool,
        has_noise: bool = True,
        has_map: bool = True,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.affine = Linear(w_dim, num_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(num_out, num_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(num_out))
        self.is_up = is_up
        self.has_noise = has_noise
        self.clamp = clamp
        self.resolution = resolution
        if has_noise:
            if has_map:
                self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("held_energy", None, persistent=False)

    def hold(self) -> None:
        """Measures the kernels once and for all, for drawing in float32 (`Linear.hold`)."""
        self.held_energy = energy(self.weight.detach())

    def forward(self, x: Tensor, w: Tensor, *, noise: str | Tensor = "const") -> Tensor:
        """`[N, O, H, W]`, H and W doubled when the layer is one that goes up.

        `noise`: `const` (the stored map), `random` (fresh), `none`, or maps `[N, 1, H, W]`.
        """
        held, bias = self.held_energy, self.bias * ROOT2
        x = modulated_conv(x, self.weight, self.affine(w), is_up=self.is_up, gain=ROOT2, bias=bias, held_energy=held)
        is_own = bands.is_drawing()
        if self.has_noise and not (isinstance(noise, str) and noise == "none"):
            added = (self._noise_map(x, noise) * (self.noise_strength * ROOT2)).to(x.dtype)
            x = x.add_(added) if is_own else x + added
        if is_own:
            x = F.leaky_relu_(x, LEAK)
            return x if self.clamp is None else x.clamp_(-self.clamp, self.clamp)
        return leaky(x, gain=1.0, clamp=self.clamp)  # the gain is in demodulation, noise and bias already

    def rows(self, x: Tensor, w: Tensor, first: int, last: int, *, noise: str | Tensor = "const") -> Tensor:
        """Rows `first` to `last - 1` of what the layer, one that does not go up, gives for `x`; one more row of `x` is read on either side."""
        assert not self.is_up, "two rows for each of x"
        top, bottom = max(first - 1, 0), min(last + 1, x.shape[2])
        if self.has_noise and (isinstance(noise, Tensor) or noise == "const"):
            noise = self._noise_map(x, noise)[..., top:bottom, :]
        return self(x[:, :, top:bottom], w, noise=noise)[:, :, first - top : last - top]  # type: ignore[no-any-return]

    def _noise_map(self, x: Tensor, noise: str | Tensor) -> Tensor:
        if isinstance(noise, Tensor):
            return noise
        if noise == "const":
            return self.noise_const
        if noise != "random":
            raise ValueError(f"noise is const, random, none or maps, not {noise!r}")
        return torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device)


class ToRgb(nn.Module):
    """A 1x1 modulated convolution without demodulation: the block's share of the image."""

    def __init__(self, num_in: int, num_out: int, *, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.affine = Linear(w_dim, num_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(num_out, num_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(num_out))
        self.gain = 1.0 / math.sqrt(num_in)
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[N, image channels, H, W]`."""
        styles = self.affine(w) * self.gain
        y = bands.conv2d(x, self.weight.to(x.dtype), padding=0, scale=styles.to(x.dtype)[:, :, None, None])
        bias = self.bias.to(x.dtype).view(1, -1, 1, 1)
        y = y.add_(bias) if bands.is_drawing() else y + bias
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


def energy(weight: Tensor) -> Tensor:
    """`[O, I]`: the sum of squares of each kernel of `weight [O, I, 3, 3]`."""
    return weight.square().sum(dim=(2, 3))


def modulated_conv(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    is_up: bool,
    gain: float = 1.0,
    bias: Tensor | None = None,
    held_energy: Tensor | None = None,
) -> Tensor:
    """Convolution of `x [N, I, H, W]` with `weight [O, I, 3, 3]` scaled by `styles [N, I]`, each output of unit variance.

    Multiplied by `gain`, then plus `bias [O]`. `held_energy` is that of `weight` where it is known already; float16 has no use for it.

    Equation 1 and 3 of arXiv 1912.04958, applied to activations instead of weights: the same numbers without a grouped
    convolution. In float16 weight and styles are normalised first, which demodulation cancels (arXiv 2006.06676).
    """
    if x.dtype == torch.float16:
        fan_in = weight.shape[1] * weight.shape[2] * weight.shape[3]
        weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * math.sqrt(fan_in))
        styles = styles / styles.abs().amax(dim=1, keepdim=True)
    known = energy(weight) if held_energy is None or x.dtype == torch.float16 else held_energy
    demodulation = (styles.square() @ known.t() + 1e-8).rsqrt()  # [N, O]
    factors = styles.to(x.dtype)[:, :, None, None]
    y = conv.double(x, weight, scale=factors) if is_up else bands.conv2d(x, weight.to(x.dtype), padding=1, scale=factors)
    scale = (demodulation * gain).to(x.dtype)[:, :, None, None]
    if bias is None:
        return y * scale
    offset = bias.to(x.dtype).view(1, -1, 1, 1)
    return torch.addcmul(offset, y, scale, out=y) if bands.is_drawing() else torch.addcmul(offset, y, scale)
