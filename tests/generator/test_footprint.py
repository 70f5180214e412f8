from __future__ import annotations

import pytest

from hdgan.generator.footprint import drawing_bytes, labelling_bytes, map_bytes, weight_bytes
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"label_dim": 3, "mapping_layers": 4},
        {"start": "latent", "noise_from_px": 16},
        {"noise_maps": "own", "z_dim": 24, "mapping_layers": 1},
    ],
)
def test_the_bytes_of_a_generator_are_counted_to_the_last(fields):
    spec = NetworkSpec(resolution=32, **{"z_dim": 16, "w_dim": 16, "channel_base": 256, "channel_max": 24, **fields})
    network = Generator(spec)
    held = sum(value.nbytes for value in network.state_dict().values())
    assert weight_bytes(spec) == held


def test_maps_of_4096_px_are_992_mib_in_half_precision():
    taps = NetworkSpec(resolution=4096, channel_base=32768).taps(5)
    assert map_bytes(taps, bytes_each=2) == 992 * 2**20
    assert sum(tap.channels for tap in taps) * 4096**2 * 2 == 15.5 * 2**30


def test_drawing_holds_two_of_the_largest_maps_those_before_it_and_two_images():
    spec = NetworkSpec(resolution=1024)
    for num_blocks, before in ((1, 64 * 512**2), (2, 2 * 64 * 512**2)):
        assert drawing_bytes(spec.taps(num_blocks)) == pytest.approx(80e6 + (1.02 * (before + 2 * 32 * 1024**2) + 6 * 1024**2) * 4)
    assert drawing_bytes(spec.taps(9)) > drawing_bytes(spec.taps(5)) > drawing_bytes(spec.taps(2))


@pytest.mark.parametrize(("resolution", "num_blocks"), [(1024, 1), (1024, 5), (4096, 5)])
def test_labelling_holds_one_of_the_largest_maps_less_and_what_is_said_of_each_pixel(resolution, num_blocks):
    spec = NetworkSpec(resolution=resolution)
    largest, pixels = 4 * spec.channels(resolution) * resolution**2, resolution**2
    saved = drawing_bytes(spec.taps(num_blocks)) - labelling_bytes(spec.taps(num_blocks))
    assert saved == pytest.approx(1.02 * largest + (6 * 4 - 16) * pixels)
