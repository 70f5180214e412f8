from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.features.colour import IMAGE, WithImage, has_image, image_map, tapping
from hdgan.generator.protocol import to_uint8
from hdgan.testing.analytic import AnalyticGenerator


@pytest.fixture
def generator():
    return AnalyticGenerator(32)


@pytest.fixture
def w(generator):
    return generator.map(torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(3)), psi=1.0)


def test_the_image_is_the_last_tap_and_the_others_stay_as_they_are(generator, w):
    wrapped = WithImage(generator)
    image, maps = wrapped.render_taps(w, num_blocks=3)
    plain_image, plain = generator.render_taps(w, num_blocks=3)
    assert torch.equal(image, plain_image)
    assert all(torch.equal(a, b) for a, b in zip(maps[:-1], plain, strict=True))
    taps = wrapped.taps(3)
    assert [tap.name for tap in taps] == [*(tap.name for tap in generator.taps(3)), IMAGE]
    assert [tuple(m.shape[1:]) for m in maps] == [(tap.channels, tap.resolution, tap.resolution) for tap in taps]


def test_the_map_is_the_stored_picture_to_rounding(generator, w):
    image, maps = WithImage(generator).render_taps(w, num_blocks=1)
    stored = to_uint8(image)[1]
    assert float((maps[-1][1] - image_map(stored)).abs().max()) <= 0.5 / 127.5 + 1e-6
    assert image_map(np.full((2, 2, 3), 255, dtype=np.uint8)).tolist() == [[[1.0] * 2] * 2] * 3


def test_an_image_that_a_generator_draws_at_once_has_nothing_by_rows(generator, w):
    assert WithImage(generator).begin(w, num_blocks=3) is None


def test_a_generator_is_wrapped_only_where_the_image_was_tapped(generator):
    assert tapping(generator, generator.taps(2)) is generator
    wrapped = tapping(generator, WithImage(generator).taps(2))
    assert has_image(wrapped.taps(2))
    assert wrapped.content_hash == generator.content_hash
    z = torch.zeros(1, generator.z_dim)
    assert torch.equal(wrapped.render(wrapped.map(z, psi=0.5)), generator.render(generator.map(z, psi=0.5)))
