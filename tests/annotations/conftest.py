from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdgan.randomness import stream
from hdgan.store.atomic import write_png
from hdgan.store.bank import IMAGES, SampleRow, sample_name, write_index, write_latents
from hdgan.store.hashing import hash_array
from hdgan.store.stage import open_stage
from tests.annotations.painted import EDGE_PX, NUM_SAMPLES, drawn_mask


@pytest.fixture
def samples(tmp_path) -> Path:
    """A finished bank of ten painted images of 24 px."""
    folder = tmp_path / "3-samples"
    rows, latents = [], []
    with open_stage(folder, stage="samples", config={"num": NUM_SAMPLES}, seed=5, inputs={}) as stage:
        for index in range(NUM_SAMPLES):
            draws = stream(5, "test.samples", index)
            image = draws.integers(0, 256, (EDGE_PX, EDGE_PX, 3), dtype=np.uint8)
            w = draws.standard_normal(4).astype(np.float32)
            write_png(stage.path / IMAGES / f"{sample_name(index)}.png", image)
            rows.append(SampleRow(index, sample_name(index), 5, hash_array(image), hash_array(w), "g", 0.7))
            latents.append(w)
        write_latents(stage.path, z=np.stack(latents), w=np.stack(latents))
        write_index(stage.path, rows, mpp=0.5, resolution=EDGE_PX)
        stage.seal(counts={"samples": NUM_SAMPLES})
    return folder


@pytest.fixture
def masks(tmp_path) -> Path:
    """A folder of ten index masks in which every class occurs somewhere, class 4 in one mask only."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    for index in range(NUM_SAMPLES):
        Image.fromarray(drawn_mask(index)).save(folder / f"{sample_name(index)}.png")
    return folder
