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


TINY = {"resolution": 16, "preset": "small", "z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8, "batch": 4, "quality_images": 8}


@pytest.fixture
def tiles(tmp_path):
    """A finished tiles stage: twelve painted tiles of 24 px at 2 um/px, of three patients in three folds."""
    return write_tiles(tmp_path / "1-tiles")


def write_tiles(folder):
    """Writes the tiles of `tiles`; the folder."""
    from hdgan.store.archive import TileRow, write_archive
    from hdgan.store.atomic import encode_png
    from hdgan.store.stage import open_stage

    rows = []
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        patient = i % 3
        row = TileRow(f"{i:04d}.png", f"slide{patient}", f"patient{patient}", "a", "PAS", patient, i * 48, 0, 48, 24, 2.0, 0.1)
        rows.append((row, encode_png(pixels)))
    with open_stage(folder, stage="tiles", config={}, seed=0, inputs={}) as stage:
        write_archive(folder, rows)
        stage.seal(counts={"tiles": 12})
    return folder
