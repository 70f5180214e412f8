"""A generator that knows the truth: image, tapped maps and the *exact* mask are functions of one latent.

It implements `hdgan.generator.protocol.LatentGenerator`, so features, classifier, evaluation and dataset run on it as on a trained one,
in milliseconds, and every label they give can be checked. What its maps know is spread over scales as in a trained network: the
maps at r px hold what is new at r px (one band of a Laplacian pyramid of the classes' shares), louder here and fainter there,
mixed with texture, waves and constant noise by a fixed random matrix and bent by a leaky ReLU, twice. On 16 images an MLP on all maps
learns to a macro Dice of about 0.97 on others; a linear read-out of the maps of one resolution stays below 0.9 (asserted).
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.errors import BadConfig
from hdgan.generator.protocol import TapSpec
from hdgan.randomness import stream
from hdgan.store.hashing import hash_array, hash_json
from hdgan.testing import shapes

_SLOPE = 0.2
_NUM_WAVES = 10


class AnalyticGenerator:
    """Implements `LatentGenerator`; deterministic, batch-independent up to rounding, on the CPU.

    Args:
        resolution: edge of the images in px, a power of two from 16.
        seed: of all fixed matrices; another seed is another generator.
        z_dim, w_dim: widths of the latents; w_dim at least `shapes.NUM_PARAMS`.
        channel_base, channel_max: the map at r px has min(channel_base // r, channel_max) channels.
        mpp: scale that the images claim.
        signal: strength of what the maps know about classes; 0 makes the control that draws the same images but knows nothing.
        noise: strength of the constant noise in the maps.
        has_rare_class: one small arteriole, about 0.3 % of the pixels, instead of three larger ones.
        contrast: how far shapes look unlike the tubules around them, 0 to 1; what the maps know does not depend on it.

    Raises:
        BadConfig: a resolution or width that does not fit.
    """

    def __init__(
        self,
        resolution: int = 64,
        *,
        seed: int = 0,
        z_dim: int = 48,
        w_dim: int = 48,
        channel_base: int = 1536,
        channel_max: int = 32,
        mpp: float | None = 4.0,
        signal: float = 1.0,
        noise: float = 0.3,
        has_rare_class: bool = False,
        contrast: float = 1.0,
    ) -> None:
        if resolution < 16 or resolution & (resolution - 1):
            raise BadConfig("analytic generator", f"resolution {resolution}", "use a power of two from 16")
        if w_dim < shapes.NUM_PARAMS or channel_base < 4 * resolution:
            remedy = f"w_dim must be at least {shapes.NUM_PARAMS}, channel_base at least {4 * resolution}"
            raise BadConfig("analytic generator", f"w_dim {w_dim}, channel_base {channel_base}", remedy)
        self.resolution, self.z_dim, self.w_dim, self.mpp = resolution, z_dim, w_dim, mpp
        self.block_resolutions = tuple(2**i for i in range(2, int(math.log2(resolution)) + 1))
        self._channels = {r: min(channel_base // r, channel_max) for r in self.block_resolutions}
        self._signal, self._noise = signal, noise
        self._contrast = contrast
        self._discs = shapes.RARE_DISCS if has_rare_class else shapes.DISCS
        self._draw_matrices(seed)
        facts = {"kind": "analytic", "version": 1, "seed": seed, "resolution": resolution, "signal": signal, "noise": noise}
        # Said where it differs from what always was, so that the hashes of generators stay.
        facts |= {"has_rare_class": True} if has_rare_class else {}
        facts |= {"contrast": contrast} if contrast != 1 else {}
        weights = {name: hash_array(value.numpy()) for name, value in sorted(self._fixed.items())}
        self.content_hash = hash_json({**facts, "weights": weights})

    def map(self, z: Tensor, *, psi: float) -> Tensor:
        """Latents w `[N, w_dim]`: linear in z `[N, z_dim]`, drawn towards the mean latent by `psi`."""
        centre = self._fixed["w_avg"]
        return centre + psi * torch.einsum("nz,zw->nw", z.float(), self._fixed["mapping"])

    def render(self, w: Tensor) -> Tensor:
        """Images `[N, 3, R, R]`, about -1 to 1."""
        return shapes.picture(self._scene(w.float()), contrast=self._contrast)

    def exact_mask(self, w: Tensor) -> np.ndarray:
        """The class of every pixel, uint8 `[N, H, W]`, computed in float64."""
        return shapes.classes(self._scene(w.double())).numpy()

    def taps(self, num_blocks: int) -> tuple[TapSpec, ...]:
        """Two maps for each of the last `num_blocks` blocks (one at 4 px), coarse to fine.

        Raises:
            BadConfig: there are fewer blocks.
        """
        if not 1 <= num_blocks <= len(self.block_resolutions):
            raise BadConfig("features.num_blocks", f"{num_blocks}", f"this generator has {len(self.block_resolutions)} blocks")
        return tuple(
            TapSpec(f"b{r}.conv{i}", self._channels[r], r)
            for r in self.block_resolutions[-num_blocks:]
            for i in ((1,) if r == 4 else (0, 1))
        )

    def render_taps(self, w: Tensor, *, num_blocks: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Images and the maps `[N, channels, r, r]` in the order of `taps`."""
        wanted = self.taps(num_blocks)
        scene = self._scene(w.float())
        image = shapes.picture(scene, contrast=self._contrast)
        known, seen = shapes.shares(scene), image.mean(dim=1, keepdim=True)
        maps: dict[str, Tensor] = {}
        for r in self.block_resolutions:
            level = F.avg_pool2d(known, self.resolution // r)
            coarser = F.interpolate(F.avg_pool2d(level, 2), scale_factor=2, mode="bilinear", align_corners=False) if r > 4 else 0.2
            waves = self._waves(w.float(), r)
            # Bands get weaker with every octave, the activations of a network do not.
            signal = self._signal * 3.0 * (r / 4) ** 0.25 * (level - coarser) * (1 + 0.6 * waves[:, :1])
            inputs = torch.cat((signal, F.avg_pool2d(seen, self.resolution // r), waves), dim=1)
            first = self._layer(inputs, f"b{r}.conv0")
            maps[f"b{r}.conv0"] = first
            maps[f"b{r}.conv1"] = self._layer(torch.cat((first, signal), dim=1), f"b{r}.conv1")
        return image, tuple(maps[tap.name] for tap in wanted)

    def _scene(self, w: Tensor) -> shapes.Scene:
        params = (w - self._fixed["w_avg"].to(w.dtype)).unsqueeze(2) * self._fixed["params"].to(w.dtype)
        return shapes.arrange(params.sum(dim=1), resolution=self.resolution, discs=self._discs)

    def _layer(self, inputs: Tensor, name: str) -> Tensor:
        """What one convolution would give: mix, add constant noise and bias, bend."""
        mixed = torch.einsum("nihw,io->nohw", inputs, self._fixed[f"{name}.weight"])
        return F.leaky_relu(mixed + self._noise * self._fixed[f"{name}.noise"] + self._fixed[f"{name}.bias"], _SLOPE) * math.sqrt(2)

    def _waves(self, w: Tensor, r: int) -> Tensor:
        """Smooth fields `[N, 10, r, r]` that follow the latent and have nothing to do with classes."""
        at = (torch.arange(r, dtype=torch.float32) + 0.5) / r
        pace = self._fixed[f"b{r}.waves"]
        phase = (w.unsqueeze(2) * self._fixed["phases"]).sum(dim=1)
        across = pace[0, :, None, None] * at.view(1, 1, -1) + pace[1, :, None, None] * at.view(1, -1, 1)
        return torch.sin(across.unsqueeze(0) + phase[:, :, None, None])

    def _draw_matrices(self, seed: int) -> None:
        rng = stream(seed, "analytic.latents")
        fixed = {
            "w_avg": rng.normal(0, 0.5, self.w_dim),
            "mapping": rng.normal(0, self.z_dim**-0.5, (self.z_dim, self.w_dim)),
            "params": np.linalg.qr(rng.normal(0, 1, (self.w_dim, shapes.NUM_PARAMS)))[0],
            "phases": rng.normal(0, 2 * self.w_dim**-0.5, (self.w_dim, _NUM_WAVES)),
        }
        num_signals, num_others = shapes.NUM_CLASSES, 1 + _NUM_WAVES
        for r in self.block_resolutions:
            rng, channels = stream(seed, "analytic.block", r), self._channels[r]
            fixed[f"b{r}.waves"] = rng.normal(0, 0.8 * r**0.75, (2, _NUM_WAVES))
            for i, num_in in enumerate((num_signals + num_others, channels + num_signals)):
                fixed[f"b{r}.conv{i}.weight"] = rng.normal(0, num_in**-0.5, (num_in, channels))
                fixed[f"b{r}.conv{i}.bias"] = rng.normal(0, 0.3, (channels, 1, 1))
                fixed[f"b{r}.conv{i}.noise"] = rng.normal(0, 1, (r, r))
        self._fixed = {name: torch.from_numpy(np.asarray(value, np.float32)) for name, value in fixed.items()}
