"""The fill rule and the fixed draws under which the networks' published fingerprints hold."""

from __future__ import annotations

import re
import zlib

import numpy as np
import pytest
import torch
from torch import nn


def fill(network: nn.Module) -> None:
    """Sets every parameter and buffer from its own name."""
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        drawn = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF).randn(*value.shape)
        r = np.asarray(drawn, dtype=np.float32)
        if re.search(r"mapping\.fc\d+\.weight", name):
            r = r * 100
        elif name.endswith("affine.bias"):
            r = 1 + 0.1 * r
        elif name.endswith(".bias"):
            r = 0.1 * r * (100 if re.search(r"mapping\.fc", name) else 1)
        elif name.endswith("noise_strength"):
            r = np.float32(0.1)
        elif name.endswith("w_avg"):
            r = 0.1 * r
        value.data.copy_(torch.as_tensor(r))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def statistics(x: torch.Tensor) -> list[float]:
    """Mean, standard deviation, first, middle and last value."""
    flat = x.detach().flatten().double()
    return [float(v) for v in (flat.mean(), flat.std(), flat[0], flat[len(flat) // 2], flat[-1])]
