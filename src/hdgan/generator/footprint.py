"""What a generator takes in memory while it draws, in plain numbers (no torch).

The weights are counted. The rest was measured by the peak of whole processes on a CPU, from 256 to 2048 px (`benchmarks/labels/memory.py`): it
is largest in the last block, which holds both of its maps and the image before and after it, beside the maps that are kept (large maps are
convolved in bands, and written over: `ops/bands.py`). While an image is labelled, the last map is made row by row (`protocol.InRows`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hdgan.generator.spec import NetworkSpec, TapSpec

_LARGEST_MAPS_AT_ONCE = 2
_IMAGES_AT_ONCE = 2
_ALSO_HELD = 1.02
"""Small tensors, and blocks that the C library does not give back while it draws."""
_KERNEL_BYTES = 80e6
"""Compiled convolutions and their scratch."""
_FLOAT_BYTES = 4
_LABELLED_BYTES_PER_PX = 3 + 1 + 3 * 4
"""The image, its mask, and three measures of doubt."""


def weight_bytes(spec: NetworkSpec) -> int:
    """Bytes of the generator's weights, the mean latent and the stored noise maps, float32."""
    widths = [spec.z_dim + (spec.w_dim if spec.label_dim else 0), *[spec.w_dim] * spec.mapping_layers]
    num = sum((a + 1) * b for a, b in itertools.pairwise(widths)) + spec.w_dim
    num += (spec.label_dim + 1) * spec.w_dim if spec.label_dim else 0
    previous = 0
    for r in spec.block_resolutions:
        c = spec.channels(r)
        layers = [c] if r == 4 else [previous, c]
        num += sum((spec.w_dim + 1) * i + 9 * i * c + c for i in layers)  # affine, convolution, bias
        num += (spec.w_dim + 1) * c + (c + 1) * spec.image_channels  # toRGB
        if r >= spec.noise_from_px:
            num += len(layers) * (1 + (r * r if spec.noise_maps == "shared" else 0))
        if r == 4:
            num += 16 * c if spec.start == "constant" else (spec.w_dim + 1) * 16 * c
        previous = c
    return _FLOAT_BYTES * num


def map_bytes(taps: Sequence[TapSpec], *, bytes_each: int = _FLOAT_BYTES) -> int:
    """Bytes of one image's maps at their own resolutions."""
    return sum(tap.channels * tap.resolution**2 * bytes_each for tap in taps)


def drawing_bytes(taps: Sequence[TapSpec]) -> float:
    """The most bytes beyond the weights while one image is drawn in float32 and the maps `taps`, coarse to fine, are kept.

    A generator of ours has two of its largest maps in its last block.
    """
    largest, before = _in_last_block(taps)
    images = _IMAGES_AT_ONCE * map_bytes([TapSpec("", 3, largest.resolution)])
    return _KERNEL_BYTES + _ALSO_HELD * (map_bytes(before) + _LARGEST_MAPS_AT_ONCE * map_bytes([largest])) + images


def labelling_bytes(taps: Sequence[TapSpec]) -> float:
    """As `drawing_bytes`, while the image is drawn and labelled on a CPU: of the last block one map is held, the other is made as it is read."""
    largest, before = _in_last_block(taps)
    labelled = _LABELLED_BYTES_PER_PX * largest.resolution**2
    return _KERNEL_BYTES + _ALSO_HELD * (map_bytes(before) + map_bytes([largest])) + labelled


def _in_last_block(taps: Sequence[TapSpec]) -> tuple[TapSpec, Sequence[TapSpec]]:
    """One map of the last block, and the maps of the blocks before that are held beside it."""
    largest = max(taps, key=lambda tap: (tap.resolution, tap.channels))
    before = [tap for tap in taps if tap.resolution < largest.resolution]
    if not before:  # the block before the last is held all the same, with up to twice the channels at a quarter of the cells
        before = [TapSpec("", 2 * largest.channels, largest.resolution // 2)]
    return largest, before
