from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from hdgan.generator.networks import Generator
from hdgan.generator.weights import FILE, save_generator
from hdgan.samples.draw import render_pixels
from hdgan.samples.interpolate import interpolate, walk
from hdgan.store.stage import open_stage
from hdgan.testing.tiny import tiny_generator, tiny_network

from .fake import FakeGenerator

WALK = {"psi": 0.7, "seed": 3, "num_latents": 4, "num_steps": 5}


@pytest.mark.parametrize("way", ["linear", "spherical"])
def test_a_walk_passes_its_latents_in_small_steps_and_closes(way):
    fine = WALK | {"num_steps": 20}
    ws = walk(FakeGenerator(), way=way, **fine)
    assert ws.shape == (80, FakeGenerator.w_dim)
    assert np.array_equal(ws, walk(FakeGenerator(), way=way, **fine))
    assert not np.array_equal(ws, walk(FakeGenerator(), way=way, **fine | {"seed": 4}))
    steps = np.linalg.norm(ws - np.roll(ws, -1, axis=0), axis=1)
    apart = np.linalg.norm(ws[::20] - np.roll(ws[::20], -1, axis=0), axis=1)
    assert steps.max() < apart.max() / 2


def test_both_ways_meet_at_the_latents_and_only_there():
    straight, arc = (walk(FakeGenerator(), way=way, **WALK) for way in ("linear", "spherical"))
    np.testing.assert_allclose(straight[::5], arc[::5], atol=1e-6)
    assert np.abs(straight - arc).max(axis=1)[np.arange(20) % 5 != 0].min() > 1e-4


def test_a_straight_walk_has_the_middle_of_two_latents_half_way():
    ws = walk(FakeGenerator(), way="linear", **WALK | {"num_steps": 4})
    np.testing.assert_allclose(ws[2], (ws[0] + ws[4]) / 2, atol=1e-6)


def test_on_a_great_circle_no_latent_is_much_shorter_than_the_shortest_drawn_one():
    class Same(FakeGenerator):
        w_dim = 6

        def map(self, z, *, psi):
            return z * psi

    lengths = np.linalg.norm(walk(Same(), way="spherical", **WALK), axis=1)
    assert lengths.min() > 0.95 * lengths[::5].min()


def test_the_noise_of_the_first_latent_is_held_all_along():
    network = tiny_network(resolution=32)
    own = Generator(replace(network.spec, noise_maps="own"))
    from hdgan.generator.weights import TrainedGenerator

    generator = TrainedGenerator(own, mpp=None)
    for way in ("linear", "spherical"):
        free = walk(generator, way=way, **WALK)
        held = walk(generator, way=way, num_held=1, **WALK)
        assert len(set(free[::5, -1].tolist())) == 4
        assert set(held[:, -1].tolist()) == {free[0, -1]}
        assert np.array_equal(held[:, :-1], free[:, :-1])


def test_sheet_and_video_show_the_walk(tmp_path):
    torch.manual_seed(0)
    with open_stage(tmp_path / "g", stage="generator", config={}, seed=0, inputs={}) as stage:
        save_generator(tmp_path / "g" / FILE, tiny_network(), mpp=None, trained={})
        stage.seal(counts={})
    sheet, video = interpolate(tmp_path / "g", out=tmp_path / "walk", psi=0.7, seed=3, num_latents=3, num_steps=4)
    with Image.open(sheet) as image:
        assert image.size == (9 * 20 + 4, 3 * 20 + 4)
    generator = tiny_generator(mpp=None)
    expected = render_pixels(generator, walk(generator, way="linear", **WALK | {"num_latents": 3, "num_steps": 4})[5], what="step")
    with Image.open(video) as frames:
        assert frames.n_frames == 12
        frames.seek(5)
        assert np.array_equal(np.asarray(frames.convert("RGB")), expected)
