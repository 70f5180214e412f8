from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from hdgan.errors import BadInput
from hdgan.generator.conditions import Conditions
from hdgan.generator.networks import Generator
from hdgan.generator.weights import FILE, TrainedGenerator, save_generator
from hdgan.randomness import stream
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
    generator = TrainedGenerator(own, mpp=None)
    for way in ("linear", "spherical"):
        free = walk(generator, way=way, **WALK)
        held = walk(generator, way=way, num_held=1, **WALK)
        assert len(set(free[::5, -1].tolist())) == 4
        assert set(held[:, -1].tolist()) == {free[0, -1]}
        assert np.array_equal(held[:, :-1], free[:, :-1])


@pytest.fixture
def stained():
    """A generator of two stains."""
    torch.manual_seed(0)
    stains = Conditions("stain", ("HE", "PAS"), (1, 1))
    return TrainedGenerator(Generator(replace(tiny_network().spec, label_dim=2)), mpp=None, facts={"conditions": stains.to_json()})


@pytest.mark.parametrize("seed", range(4))
def test_a_walk_on_great_circles_keeps_the_label_of_its_first_latent_instead_of_changing_it_at_every_step(stained, seed):
    labels = []
    _ = stained.label_centres  # mapped as well, once
    stained.network.mapping.register_forward_pre_hook(lambda _mapping, given: labels.append(int(given[1].argmax())))
    fine = WALK | {"num_steps": 20, "seed": seed}
    ws = walk(stained, way="spherical", **fine)
    assert len(labels) == 80
    assert len(set(labels)) == 1
    z = stream(seed, "samples.interpolation", 0).standard_normal(stained.z_dim, dtype=np.float32)
    np.testing.assert_allclose(ws[:1], stained.map(torch.from_numpy(z)[None], psi=0.7).numpy(), atol=1e-6)


def test_a_walk_has_the_label_that_the_settings_of_the_samples_ask_for(stained, tmp_path):
    with open_stage(tmp_path / "g", stage="generator", config={}, seed=0, inputs={}) as stage:
        save_generator(tmp_path / "g" / FILE, stained.network, mpp=None, trained=stained.facts)
        stage.seal(counts={})
    sheets = []
    for stain in ("HE", "PAS"):
        short = {"psi": 0.7, "seed": 3, "num_latents": 2, "num_steps": 2}
        _, video = interpolate(tmp_path / "g", out=tmp_path / stain, condition=stain, **short)
        first = walk(stained.asked_for(stain), way="linear", **short)[0]
        with Image.open(video) as frames:
            assert np.array_equal(np.asarray(frames.convert("RGB")), render_pixels(stained, first, what="step"))
        sheets.append(video.read_bytes())
    assert sheets[0] != sheets[1]


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


def test_a_file_in_the_place_of_the_folder_is_refused_before_anything_is_drawn(tmp_path):
    (tmp_path / "walk").write_text("mine")
    with pytest.raises(BadInput, match="walk: is a file; name a folder"):
        interpolate(tmp_path / "no generator", out=tmp_path / "walk", psi=0.7, seed=3)
