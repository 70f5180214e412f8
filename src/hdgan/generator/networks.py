"""StyleGAN2-ADA's mapping, synthesis and discriminator networks (arXiv 1912.04958, arXiv 2006.06676).

Skip generator, residual or plain discriminator, minibatch standard deviation. Parameter names match published checkpoints.
Letters: N images, C channels, H and W px, D latent width, L number of latents entering the synthesis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Mapping as Named
from dataclasses import replace

import torch
from torch import Tensor, nn

from hdgan.generator.layers import Conv, Linear, SynthesisLayer, ToRgb
from hdgan.generator.noise import own_maps, seeds_of
from hdgan.generator.ops import bands, fir
from hdgan.generator.recompute import run_block
from hdgan.generator.spec import NetworkSpec

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SMALL_PX = 128
"""Images up to this size are drawn channels last and with held weights, on CPUs faster (benchmarks/RESULTS.md); larger ones gained nothing when tried
(dev/LOG.md)."""
W_AVERAGE_DECAY = 0.998
Noise = str | Named[str, Tensor]
"""`const` (maps stored with the weights), `random` (fresh ones), `none`, or maps `[N, 1, H, W]` by layer, such as `b8.conv0`."""


def unit_length(x: Tensor) -> Tensor:
    """`x [N, D]` scaled to mean square 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Mapping(nn.Module):
    """z (and a label) to the intermediate latent w; keeps the running mean of w for truncation."""

    w_avg: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.num_layers = spec.mapping_layers
        self.label_dim = spec.label_dim
        num_in = spec.z_dim + (spec.w_dim if spec.label_dim else 0)
        if spec.label_dim:
            self.embed = Linear(spec.label_dim, spec.w_dim)
        for i in range(spec.mapping_layers):
            self.add_module(f"fc{i}", Linear(num_in if i == 0 else spec.w_dim, spec.w_dim, lr=spec.mapping_lr, is_activated=True))
        self.register_buffer("w_avg", torch.zeros(spec.w_dim))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """w `[N, D]` of z `[N, z_dim]` and label `[N, label_dim]`."""
        x = unit_length(z.float())
        if self.label_dim:
            if label is None:
                raise ValueError("this generator is conditional: it needs labels")
            x = torch.cat((x, unit_length(self.embed(label.float()))), dim=1)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x

    @torch.no_grad()
    def track(self, w: Tensor) -> None:
        """Moves the running mean towards the mean of `w [N, D]`."""
        self.w_avg.copy_(w.float().mean(dim=0).lerp(self.w_avg, W_AVERAGE_DECAY))

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """`w` drawn towards the mean latent: mean + psi * (w - mean)."""
        return w if psi == 1.0 else self.w_avg.lerp(w, psi)


class SynthesisBlock(nn.Module):
    """One resolution: up to two modulated convolutions and the block's share of the image."""

    def __init__(self, spec: NetworkSpec, resolution: int) -> None:
        super().__init__()
        channels = spec.channels(resolution)
        self.resolution = resolution
        self.is_first = resolution == 4
        self.start = spec.start
        self.dtype = DTYPES[spec.low_precision] if spec.is_low_precision(resolution) else torch.float32
        clamp = spec.clamp if self.dtype != torch.float32 else None
        options = {"w_dim": spec.w_dim, "resolution": resolution, "has_noise": resolution >= spec.noise_from_px, "clamp": clamp}
        options["has_map"] = spec.noise_maps == "shared"
        if self.is_first and spec.start == "constant":
            self.const = nn.Parameter(torch.randn(channels, 4, 4))
        elif self.is_first:
            self.start_map = Linear(spec.w_dim, channels * 16)
        else:
            self.conv0 = SynthesisLayer(spec.channels(resolution // 2), channels, is_up=True, **options)  # type: ignore[arg-type]
        self.conv1 = SynthesisLayer(channels, channels, is_up=False, **options)  # type: ignore[arg-type]
        self.torgb = ToRgb(channels, spec.image_channels, w_dim=spec.w_dim, clamp=clamp)

    def forward(self, x: Tensor | None, image: Tensor | None, ws: Tensor, *, noise: Noise) -> tuple[Tensor, Tensor]:
        """Activations and the image so far; `ws [N, 3 (first block: 2), D]` are this block's latents, toRGB's last."""
        x = self.conv1(self.enter(x, ws, noise=noise), ws[:, -2], noise=self._noise_of("conv1", noise))
        share = self.torgb(x, ws[:, -1]).float()
        if image is None:
            return x, share
        return x, fir.add_upsampled(share, image) if bands.is_drawing() else fir.upsample2_binomial(image) + share

    def enter(self, x: Tensor | None, ws: Tensor, *, noise: Noise) -> Tensor:
        """What the block's last convolution takes."""
        if x is not None:
            return self.conv0(x.to(self.dtype), ws[:, 0], noise=self._noise_of("conv0", noise))  # type: ignore[no-any-return]
        if self.start == "constant":
            return self.const.expand(ws.shape[0], -1, -1, -1).to(self.dtype)
        return self.start_map(ws[:, 0]).unflatten(1, (-1, 4, 4)).to(self.dtype)  # type: ignore[no-any-return]

    def rows(self, entered: Tensor, image: Tensor | None, ws: Tensor, first: int, last: int, *, noise: Noise) -> tuple[Tensor, Tensor]:
        """Rows `first` to `last - 1` of what the block gives, from what `enter` gave; inference."""
        x = self.conv1.rows(entered, ws[:, -2], first, last, noise=self._noise_of("conv1", noise))
        share = self.torgb(x, ws[:, -1]).float()
        return x, share if image is None else fir.add_upsampled(share, image, first=first)

    def _noise_of(self, layer: str, noise: Noise) -> str | Tensor:
        return noise if isinstance(noise, str) else noise.get(f"b{self.resolution}.{layer}", "none")


class Synthesis(nn.Module):
    """Latents to images, block by block."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.block_resolutions = spec.block_resolutions
        self.recompute_from_px: int | None = None
        for resolution in spec.block_resolutions:
            self.add_module(f"b{resolution}", SynthesisBlock(spec, resolution))

    def forward(self, ws: Tensor, *, noise: Noise = "const") -> Tensor:
        """Images `[N, C, R, R]` float32 of `ws [N, L, D]`; toRGB of a block uses the latent of the next block's first layer."""
        x: Tensor | None = None
        image: Tensor | None = None
        for block, its_ws in self._with_latents(ws):
            is_kept = self.recompute_from_px is None or block.resolution < self.recompute_from_px
            x, image = run_block(block, x, image, its_ws, noise=noise, is_kept=is_kept)
        assert image is not None
        return image

    def but_last(self, ws: Tensor, *, noise: Noise = "const") -> Callable[[int, int], tuple[Tensor, Tensor]]:
        """Draws all but the last layer; what is returned gives rows `first` to `last - 1` of that layer's map and of the images. Inference."""
        x: Tensor | None = None
        image: Tensor | None = None
        *earlier, (block, its_ws) = self._with_latents(ws)
        for before, ws_before in earlier:
            x, image = before(x, image, ws_before, noise=noise)
        entered = block.enter(x, its_ws, noise=noise)
        return lambda first, last: block.rows(entered, image, its_ws, first, last, noise=noise)

    def _with_latents(self, ws: Tensor) -> list[tuple[SynthesisBlock, Tensor]]:
        """The blocks, and of `ws [N, L, D]` those of each."""
        found = []
        first = 0
        for resolution in self.block_resolutions:
            num_convs = 1 if resolution == 4 else 2
            block = self.get_submodule(f"b{resolution}")
            assert isinstance(block, SynthesisBlock)
            found.append((block, ws[:, first : first + num_convs + 1]))
            first += num_convs
        return found


class Generator(nn.Module):
    """Mapping and synthesis together."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.mapping = Mapping(spec)
        self.synthesis = Synthesis(spec)

    def forward(
        self, z: Tensor, label: Tensor | None = None, *, psi: float = 1.0, cutoff: int | None = None, noise: Noise | None = None
    ) -> Tensor:
        """Images `[N, C, R, R]` of z `[N, z_dim]`; truncation `psi` acts on the first `cutoff` latents (None: on all).

        Without `noise`: the stored maps, or each image's own where the network has none stored.
        """
        if noise is None:
            noise = own_maps(self.synthesis, seeds_of(z)) if self.spec.noise_maps == "own" else "const"
        return self.synthesis(self.spread(self.mapping(z, label), psi=psi, cutoff=cutoff), noise=noise)  # type: ignore[no-any-return]

    def hold(self) -> None:
        """Computes once what depends on weights alone: for a network that only draws from now on."""
        for module in self.modules():
            if isinstance(module, Linear | SynthesisLayer):
                module.hold()

    def spread(self, w: Tensor, *, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """`[N, L, D]`: w `[N, D]` for every layer, the first `cutoff` of them truncated."""
        ws = w.unsqueeze(1).repeat(1, self.spec.num_ws, 1)
        if psi != 1.0:
            num = self.spec.num_ws if cutoff is None else cutoff
            ws = torch.cat((self.mapping.truncate(ws[:, :num], psi), ws[:, num:]), dim=1)
        return ws


def for_drawing(spec: NetworkSpec) -> Generator:
    """A generator in float32 throughout, however `spec` trains: what images are drawn with."""
    return Generator(replace(spec, low_precision="float32", num_low_precision=0, clamp=None))


def drawing_format(resolution: int) -> torch.memory_format:
    """The memory order of weights with which images of this edge are drawn fastest; the image is the same to rounding."""
    return torch.channels_last if resolution <= SMALL_PX else torch.contiguous_format


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second halving the resolution; in a residual network beside a 1x1 skip, their sum of unit variance."""

    def __init__(self, spec: NetworkSpec, resolution: int) -> None:
        super().__init__()
        num_in, num_out = spec.channels(resolution), spec.channels(resolution // 2)
        self.dtype = DTYPES[spec.low_precision] if spec.is_low_precision(resolution) else torch.float32
        clamp = spec.clamp if self.dtype != torch.float32 else None
        if resolution == spec.resolution:
            self.fromrgb = Conv(spec.image_channels, num_in, kernel=1, clamp=clamp)
        self.conv0 = Conv(num_in, num_in, kernel=3, clamp=clamp)
        self.conv1 = Conv(num_in, num_out, kernel=3, is_down=True, clamp=clamp)
        self.has_skip = spec.discriminator == "resnet"
        if self.has_skip:
            self.skip = Conv(num_in, num_out, kernel=1, is_down=True, is_activated=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C', H / 2, W / 2]`; the first block takes the image."""
        x = x.to(self.dtype)
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x)
        if not self.has_skip:
            return self.conv1(self.conv0(x))  # type: ignore[no-any-return]
        return self.skip(x, gain=math.sqrt(0.5)) + self.conv1(self.conv0(x), gain=math.sqrt(0.5))  # type: ignore[no-any-return]


class Epilogue(nn.Module):
    """Minibatch standard deviation and the layers from 4x4 to the logit."""

    def __init__(self, spec: NetworkSpec, num_out: int) -> None:
        super().__init__()
        channels = spec.channels(4)
        self.group = spec.minibatch_std_group
        self.conv = Conv(channels + (1 if self.group else 0), channels, kernel=3)
        self.fc = Linear(channels * 16, channels, is_activated=True)
        self.out = Linear(channels, num_out)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, num_out]` of `x [N, C, 4, 4]`."""
        x = x.float()
        if self.group:
            x = torch.cat((x, minibatch_std(x, group=self.group)), dim=1)
        return self.out(self.fc(self.conv(x).flatten(1)))  # type: ignore[no-any-return]


def std_members(num: int, group: int) -> int:
    """How many of `num` images share a group of the minibatch standard deviation, of `group` at most."""
    wanted = min(group, num)
    return math.gcd(num, wanted) if num % wanted else wanted


def minibatch_std(x: Tensor, *, group: int) -> Tensor:
    """`[N, 1, H, W]`: the standard deviation inside each group of images, averaged over C, H, W (arXiv 1710.10196).

    Groups have min(group, N) members, image n belonging to group n mod (N / members).
    """
    N, _, H, W = x.shape
    members = std_members(N, group)
    y = x.reshape(members, N // members, *x.shape[1:])
    std = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return std.repeat(members).view(N, 1, 1, 1).expand(N, 1, H, W)


class LabelMapping(nn.Module):
    """A discriminator's embedding of its condition, of unit mean square."""

    def __init__(self, spec: NetworkSpec, width: int, *, num_layers: int = 8, lr: float = 0.01) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.embed = Linear(spec.label_dim, width)
        for i in range(num_layers):
            self.add_module(f"fc{i}", Linear(width, width, lr=lr, is_activated=True))

    def forward(self, label: Tensor) -> Tensor:
        """`[N, width]`."""
        x = unit_length(self.embed(label.float()))
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x


class Discriminator(nn.Module):
    """Image to logit, real being positive."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.recompute_from_px: int | None = None
        for resolution in reversed(spec.block_resolutions[1:]):
            self.add_module(f"b{resolution}", DiscriminatorBlock(spec, resolution))
        width = spec.channels(4)
        if spec.label_dim:
            self.mapping = LabelMapping(spec, width)
        self.b4 = Epilogue(spec, width if spec.label_dim else 1)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits `[N, 1]` of images `[N, C, R, R]`; conditional ones by projection onto the label's embedding."""
        return self.judge(self.features(image), label)

    def features(self, image: Tensor) -> Tensor:
        """What is known of each image by itself, `[N, C', 4, 4]`: all blocks but the last."""
        x = image.contiguous(memory_format=torch.channels_last)  # augmentation returns planes, which the first block would pass on
        for resolution in reversed(self.spec.block_resolutions[1:]):
            is_kept = self.recompute_from_px is None or resolution < self.recompute_from_px
            x = run_block(self.get_submodule(f"b{resolution}"), x, is_kept=is_kept)
        return x

    def judge(self, features: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits `[N, 1]` of `features [N, C', 4, 4]`: the last block, in which the images of a group see each other."""
        logits = self.b4(features)
        if self.spec.label_dim:
            if label is None:
                raise ValueError("this discriminator is conditional: it needs labels")
            embedded = self.mapping(label)
            logits = (logits * embedded).sum(dim=1, keepdim=True) / math.sqrt(embedded.shape[1])
        return logits  # type: ignore[no-any-return]
