from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.errors import BadConfig
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import TrainedGenerator


@pytest.mark.parametrize(("num_blocks", "channels"), [(3, 112), (4, 240), (5, 496)])
def test_the_last_blocks_of_a_network_of_4096_px_have_the_published_channels(num_blocks, channels):
    spec = NetworkSpec(resolution=4096, channel_base=32768)
    assert sum(tap.channels for tap in spec.taps(num_blocks)) == channels


@given(st.integers(4, 12), st.integers(1, 11))
def test_any_number_of_blocks_up_to_all_is_tapped_at_every_convolution_coarse_to_fine(log2, num_blocks):
    spec = NetworkSpec(resolution=2**log2)
    if num_blocks > log2 - 1:
        with pytest.raises(BadConfig, match=f"this generator has {log2 - 1} blocks"):
            spec.taps(num_blocks)
        return
    taps = spec.taps(num_blocks)
    assert len(taps) == 2 * num_blocks - (num_blocks == log2 - 1)
    assert [tap.resolution for tap in taps] == sorted(tap.resolution for tap in taps)
    assert taps[-1].resolution == spec.resolution
    assert taps[0].resolution == spec.resolution // 2 ** (num_blocks - 1)


def test_the_taps_of_a_specification_are_those_of_the_network():
    spec = NetworkSpec(resolution=32, z_dim=8, w_dim=8, channel_base=256, channel_max=16)
    generator = TrainedGenerator(Generator(spec), mpp=None)
    assert [generator.taps(k) for k in range(1, 5)] == [spec.taps(k) for k in range(1, 5)]
