from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.errors import BadInput
from hdgan.generator.protocol import to_uint8
from hdgan.randomness import stream
from hdgan.samples.draw import draw_one, draw_samples
from hdgan.store.hashing import hash_array
from tests.samples.fake import FakeGenerator


def test_a_sample_is_the_same_alone_and_in_any_run():
    generator = FakeGenerator()
    drawn = list(draw_samples(generator, num=6, psi=0.7, seed=3))
    later = list(draw_samples(generator, num=6, psi=0.7, seed=3, start=4))
    alone = draw_one(generator, 5, psi=0.7, seed=3)
    for one in (later[1], alone):
        assert one.row == drawn[5].row
        assert np.array_equal(one.image, drawn[5].image)
        assert np.array_equal(one.w, drawn[5].w)


def test_a_row_tells_seed_truncation_and_hashes_of_what_was_drawn():
    generator = FakeGenerator()
    row, image, z, w = draw_one(generator, 2, psi=0.5, seed=9)
    assert np.array_equal(z, stream(9, "samples.z", 2).standard_normal(6, dtype=np.float32))
    assert np.array_equal(w, generator.map(torch.from_numpy(z)[None], psi=0.5)[0].numpy())
    assert np.array_equal(image, to_uint8(generator.render(torch.from_numpy(w)[None]))[0])
    assert (row.index, row.name, row.seed, row.psi, row.generator_hash) == (2, "000002", 9, 0.5, "fake-1")
    assert (row.image_hash, row.latent_hash) == (hash_array(image), hash_array(w))
    assert (z.dtype, w.dtype, image.dtype, image.shape) == (np.float32, np.float32, np.uint8, (16, 16, 3))


def test_seeds_and_indices_give_other_images():
    generator = FakeGenerator()
    hashes = {draw_one(generator, index, psi=0.7, seed=seed).row.image_hash for index in range(5) for seed in range(3)}
    assert len(hashes) == 15


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_pixel_that_is_not_finite_is_an_error(value):
    generator = FakeGenerator()

    def spoil(image):
        image[0, 1, 3, 4] = value
        return image

    generator.spoil = spoil
    with pytest.raises(BadInput, match="sample 3: its image has pixels that are not finite"):
        draw_one(generator, 3, psi=0.7, seed=0)


def test_a_latent_that_is_not_finite_is_an_error():
    generator = FakeGenerator()
    generator.mix[0, 0] = float("nan")
    with pytest.raises(BadInput, match="sample 0: its latent is not finite"):
        draw_one(generator, 0, psi=0.7, seed=0)
