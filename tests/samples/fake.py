"""A generator of a few numbers: fast, exact, and as breakable as a test needs."""

from __future__ import annotations

import numpy as np
import torch

from hdgan.generator.protocol import TapSpec


class FakeGenerator:
    """Images of two waves whose direction, length and colour w gives."""

    z_dim = 6
    w_dim = 5

    def __init__(self, *, resolution: int = 16, mpp: float | None = 0.5, content_hash: str = "fake-1") -> None:
        self.resolution = resolution
        self.mpp = mpp
        self.content_hash = content_hash
        self.num_rendered = 0
        self.spoil = None
        draws = np.random.default_rng(7)
        self.mix = torch.from_numpy(draws.standard_normal((self.z_dim, self.w_dim)).astype(np.float32))

    def map(self, z, *, psi):
        return torch.tanh(z @ self.mix) * psi

    def render(self, w):
        self.num_rendered += len(w)
        axis = torch.linspace(0, 3, self.resolution)
        phase = w[:, 0, None, None] * 4 * axis[:, None] + w[:, 1, None, None] * 4 * axis[None, :]
        image = torch.stack([torch.sin(phase + w[:, i, None, None]) * (0.4 + 0.3 * w[:, i, None, None]) for i in (2, 3, 4)], dim=1)
        return image if self.spoil is None else self.spoil(image)

    def taps(self, num_blocks):
        return tuple(TapSpec(f"b{self.resolution}.conv{i}", 1, self.resolution) for i in range(num_blocks))

    def render_taps(self, w, *, num_blocks):
        image = self.render(w)
        return image, tuple(image[:, :1] for _ in range(num_blocks))
