from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdgan.measures.embedder import Scale
from hdgan.measures.frechet import frechet_distance
from hdgan.measures.kernel import kernel_distance
from hdgan.measures.scattering import Scattering, finest_band, oriented_bands
from hdgan.testing.degradations import WAYS
from hdgan.testing.painter import paint

SIZE_PX = 32


def crops(pixels, size_px=SIZE_PX):
    """Every square of a picture `[H, W, 3]`."""
    rows, columns = pixels.shape[0] // size_px, pixels.shape[1] // size_px
    cut = pixels[: rows * size_px, : columns * size_px].reshape(rows, size_px, columns, size_px, 3)
    return cut.swapaxes(1, 2).reshape(-1, size_px, size_px, 3)


@pytest.fixture(scope="module")
def painted():
    """Two sets of 200 squares of painted tissue, mixed from the same scenes."""
    squares = np.concatenate([crops(paint(seed, size_px=(320, 320), mpp=2.0, outline="full").image) for seed in range(4)])
    squares = squares[np.random.default_rng(0).permutation(len(squares))]
    return squares[0::2], squares[1::2]


@pytest.fixture(scope="module")
def ranking(painted):
    return ranked(*painted)


def ranked(real, again):
    """Frechet and kernel distances to `real` of `again` as it is, and by strength of each way of going wrong."""
    embedder = Scattering(real.shape[1])
    features = embedder.embed(real)
    scale = Scale(features)

    def distances(images):
        found = scale(embedder.embed(images))
        return frechet_distance(scale(features), found), kernel_distance(scale(features), found, num_subsets=10).mean

    worse = {name: [distances(way(again, strength)) for strength in strengths] for name, (way, strengths) in WAYS.items()}
    return distances(again), worse


@pytest.mark.parametrize("way", WAYS)
def test_five_growing_degradations_of_painted_tiles_are_ranked(way, ranking):
    floor, worse = ranking
    assert_ranked(floor, worse[way])
    assert worse[way][-1][0] > 1.5 * floor[0]


def assert_ranked(floor, worse):
    """Also against no degradation by the Frechet distance; the kernel distance scatters about its floor by more than the faintest adds."""
    frechet, kernel = ([distance[kind] for distance in worse] for kind in (0, 1))
    assert [floor[0], *frechet] == sorted([floor[0], *frechet])
    assert kernel == sorted(kernel)


@pytest.mark.skipif("HDGAN_DATA" not in os.environ, reason="HDGAN_DATA is not set")
def test_five_growing_degradations_of_real_tiles_are_ranked():
    paths = sorted((Path(os.environ["HDGAN_DATA"]) / "kidney" / "tiles").glob("*.jpg"))
    if not paths:
        pytest.skip("there are no tiles of donors in HDGAN_DATA")
    tiles = [Image.open(path).convert("RGB").resize((128, 128), Image.Resampling.BOX) for path in paths]  # 512 px at 0.5 um/px
    cut = np.concatenate([crops(np.asarray(tile), SIZE_PX) for tile in tiles])
    cut = cut[np.random.default_rng(0).permutation(len(cut))[:500]]
    floor, worse = ranked(cut[0::2], cut[1::2])
    for found in worse.values():
        assert_ranked(floor, found)


def test_the_filters_pass_every_frequency_once_up_to_the_corners():
    # Over all octaves and both half-planes the squares add up to a constant: nothing is seen twice, nothing is lost.
    bands = oriented_bands(64)
    mirrored = bands + np.roll(bands[:, ::-1, ::-1], 1, axis=(1, 2))
    shares = np.square(mirrored / 2).sum(axis=0) / (5 / 4)  # the sum of cos^6 over four angles
    total = shares + finest_band(64) ** 2
    line = np.abs(np.fft.fftfreq(64))
    radius = np.hypot(line[:, None], line[None, :])
    inside = (radius > 0.25) & (line[:, None] < 0.5) & (line[None, :] < 0.5)
    assert total[inside] == pytest.approx(1, abs=1e-5)


def test_a_line_grating_is_strongest_in_its_own_level_and_orientation():
    embedder = Scattering(64)
    names = [f"level {level} dark {angle} degrees strength" for level in range(4) for angle in (0, 45, 90, 135)]
    x = np.arange(64)
    for level, period_px in enumerate((4, 8, 16)):
        stripes = np.broadcast_to((128 + 60 * np.sin(2 * np.pi * x / period_px))[None, :, None], (64, 64, 3))
        for image, angle in ((stripes, 0), (stripes.swapaxes(0, 1), 90)):
            features = embedder.embed(np.round(image).astype(np.uint8)[None])[0]
            strengths = [features[embedder.feature_names.index(name)] for name in names]
            assert names[int(np.argmax(strengths))] == f"level {level} dark {angle} degrees strength"


def test_a_stain_twice_as_strong_doubles_the_mean_density():
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    darker = np.full((1, 32, 32, 3), round(136**2 / 263 - 8), np.uint8)  # (level + 8) / 263 squared
    embedder = Scattering(32)
    at = embedder.feature_names.index("dark mean")
    assert embedder.embed(darker)[0, at] == pytest.approx(2 * embedder.embed(grey)[0, at], rel=0.01)


def test_features_are_named_finite_and_each_images_own(painted):
    embedder = Scattering(SIZE_PX)
    together = embedder.embed(painted[0][:5])
    assert together.shape == (5, embedder.num_features)
    assert len(set(embedder.feature_names)) == embedder.num_features
    assert np.isfinite(together).all()
    assert np.allclose(embedder.embed(painted[0][3:4])[0], together[3], atol=1e-5)
    extremes = np.stack([np.zeros((32, 32, 3)), np.full((32, 32, 3), 255)]).astype(np.uint8)
    assert np.isfinite(embedder.embed(extremes)).all()
    assert embedder.embed(painted[0][:0]).shape == (0, embedder.num_features)


def test_images_above_256_px_are_seen_averaged():
    small = np.random.default_rng(0).integers(0, 255, (1, 256, 256, 3), dtype=np.uint8)
    assert np.allclose(Scattering(512).embed(small.repeat(2, axis=1).repeat(2, axis=2)), Scattering(256).embed(small), atol=1e-4)


def test_the_features_are_those_of_version_1():
    # Of this image by this code; whoever changes them changes _VERSION too, because numbers of before cannot be compared.
    line = np.arange(32)
    image = np.stack(
        [(line[:, None] * 7 + line[None, :] * (3 + c) + (line[:, None] * line[None, :]) % 5 * 20) % 256 for c in range(3)], axis=-1
    )
    found = Scattering(32).embed(image.astype(np.uint8)[None])[0]
    expected = [1.4965, -0.7274, -1.6948, -1.6061, -2.1872, -0.3408, -3.0588]
    assert found[[0, 5, 10, 20, 40, 60, -1]] == pytest.approx(expected, abs=2e-4)


def test_the_hash_tells_sizes_apart_and_is_the_same_each_time():
    assert Scattering(32).content_hash == Scattering(32).content_hash
    assert len({Scattering(size).content_hash for size in (16, 32, 64, 512)}) == 4


@pytest.mark.parametrize("size_px", [8, 48])
def test_sizes_that_cannot_be_halved_are_refused(size_px):
    with pytest.raises(ValueError, match="power of two"):
        Scattering(size_px)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"uint8 \[N, 32, 32, 3\] are wanted"):
        Scattering(32).embed(np.zeros((2, 16, 16, 3), np.uint8))
