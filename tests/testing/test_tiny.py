from __future__ import annotations

from pathlib import Path

import torch

from hdgan.generator.weights import untrained_like
from hdgan.testing.tiny import tiny_generator, write_tiny_generator


def test_a_seed_gives_the_same_generator_in_memory_and_on_disk(tmp_path: Path) -> None:
    generator, written, other = tiny_generator(seed=4), write_tiny_generator(tmp_path, seed=4), tiny_generator(seed=5)
    w = generator.map(torch.randn(2, 16), psi=0.7)
    assert torch.equal(generator.render(w), written.render(w))
    assert generator.content_hash == written.content_hash != other.content_hash
    assert written.mpp == 2.0


def test_it_varies_with_the_latent_and_has_truncation_and_noise() -> None:
    generator = tiny_generator()
    z = torch.randn(2, 16)
    assert not torch.equal(generator.map(z, psi=0.5), 0.5 * generator.map(z, psi=1.0))
    image, maps = generator.render_taps(generator.map(z, psi=1.0), num_blocks=3)
    assert image.shape == (2, 3, 16, 16)
    assert len(maps) == 5
    assert (image[0] - image[1]).abs().mean() > 1e-2
    quiet = generator.network.synthesis(generator.network.spread(generator.map(z, psi=1.0)), noise="none")
    assert (image - quiet).abs().max() > 1e-4


def test_the_untrained_control_can_be_made_from_its_file(tmp_path: Path) -> None:
    generator = write_tiny_generator(tmp_path)
    control = untrained_like(tmp_path / "generator.safetensors", seed=1)
    assert control.taps(3) == generator.taps(3)
    assert control.content_hash != generator.content_hash
