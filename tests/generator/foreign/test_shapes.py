from __future__ import annotations

from dataclasses import replace

import pytest

from hdgan.generator.foreign.shapes import discriminator_shapes, generator_shapes
from hdgan.generator.networks import Discriminator, Generator
from tests.generator.foreign.test_layouts import VARIANTS
from tests.generator.foreign.writers import SPEC

MORE = {
    "own noise": replace(SPEC, noise_maps="own"),
    "noise from 8 px": replace(SPEC, noise_from_px=8),
    "no statistics": replace(SPEC, minibatch_std_group=0),
}


@pytest.mark.parametrize("spec", (VARIANTS | MORE).values(), ids=VARIANTS | MORE)
def test_the_shapes_are_those_of_the_networks(spec):
    for shapes, network in ((generator_shapes(spec), Generator(spec)), (discriminator_shapes(spec), Discriminator(spec))):
        assert shapes == {name: tuple(value.shape) for name, value in network.state_dict().items()}
