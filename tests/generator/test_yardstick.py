from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.stage import run_generator
from hdgan.generator.yardstick import Yardstick
from hdgan.store.stage import read_manifest
from hdgan.testing.painter import paint

from .conftest import TINY


@pytest.fixture(scope="module")
def crops():
    tiles = np.stack([paint(seed, size_px=48, mpp=4.0, outline="full").image for seed in range(8)])
    return Crops(ArrayTiles(tiles), chosen=range(8), size_px=16, seed=0)


def drawing(crops, blend):
    """Draws real crops of its own, blended with grey: the more, the worse."""
    drawn = iter(range(0, 10**6, 100))

    def draw(z, _labels):
        real = torch.from_numpy(crops.batch(next(drawn), len(z))).float() / 127.5 - 1
        return real * (1 - blend)

    return draw


def test_images_that_fade_are_ever_farther_and_real_ones_are_about_at_the_floor(crops):
    yardstick = Yardstick(crops, num=150)
    found = [yardstick.distance(drawing(crops, blend), z_dim=4, device=torch.device("cpu")) for blend in (0.0, 0.1, 0.3, 0.9)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(yardstick.floor, rel=0.5)
    assert found[1] > 1.5 * yardstick.floor


def test_the_same_generator_gets_the_same_number_whatever_is_held_at_once(crops, monkeypatch):
    def draw(z, _labels):
        return torch.tanh(z.reshape(-1, 3, 16, 16))

    distances = []
    for pixels in (1 << 20, 16 * 16 * 7):
        monkeypatch.setattr("hdgan.generator.yardstick._PIXELS_AT_ONCE", pixels)
        distances.append(Yardstick(crops, num=20).distance(draw, z_dim=768, device=torch.device("cpu")))
    assert distances[1] == pytest.approx(distances[0], rel=1e-4)


def test_another_embedder_can_be_used(crops):
    class Means:
        name, content_hash, num_features, has_common_unit = "means", "1", 3, False

        def embed(self, images):
            return images.mean(axis=(1, 2)).astype(np.float32)

    yardstick = Yardstick(crops, num=60, embedder=Means())
    assert yardstick.distance(lambda z, _: torch.ones(len(z), 3, 16, 16), z_dim=4, device=torch.device("cpu")) > 3 * yardstick.floor


def test_labels_of_as_many_real_crops_are_given_where_tiles_have_some(crops):
    labelled = Crops(crops.tiles, chosen=range(8), size_px=16, seed=0, labels=[i % 2 for i in range(8)])
    given = []

    def draw(z, labels):
        given.extend(labels)
        return torch.zeros(len(z), 3, 16, 16)

    Yardstick(labelled, num=20).distance(draw, z_dim=4, device=torch.device("cpu"))
    assert len(given) == 20
    assert set(given) == {0, 1}


def rows(folder):
    return [row for line in (folder / "stats.jsonl").read_text().splitlines() if "variety" in (row := json.loads(line))]


def test_each_snapshot_of_a_training_is_measured_and_it_changes_nothing_else(tiles, tmp_path):
    config = GeneratorConfig(**TINY | {"quality_images": 24}, kimg=0.08, snapshot_kimg=0.04)
    run_generator(config, tiles=tiles, out=tmp_path / "measured", seed=0)
    run_generator(config.model_copy(update={"quality_images": 0}), tiles=tiles, out=tmp_path / "not", seed=0)
    measured, plain = rows(tmp_path / "measured"), rows(tmp_path / "not")
    assert [row["images"] for row in measured] == [40, 80]
    assert all(row["quality"] > row["quality_floor"] > 0 for row in measured)
    assert [{k: v for k, v in row.items() if not k.startswith("quality")} for row in measured] == plain
    first, second = (read_manifest(tmp_path / name) for name in ("measured", "not"))
    assert first.outputs["generator.safetensors"] == second.outputs["generator.safetensors"]
    assert first.config == second.config
