"""What a stage will need, from plain numbers: multiply-adds, bytes, seconds. Rough on purpose, and said so.

The multiply-adds follow from the shapes of the networks (arXiv 1912.04958). The other constants were fitted or measured:

- bytes kept for the backward pass of generator and discriminator: 22.5 times the bytes of the 16-bit block outputs plus
  16.4 times those of the 32-bit ones, fitted to shape traces at 256 to 4096 px, within 10 % from 512 px up;
- of these bytes R1 keeps 0.77 in 32-bit blocks and 0.95 in 16-bit ones, and the path lengths of as many images 1.27 and 1.1, recomputed
  blocks or not: a gradient that is differentiated again keeps what was computed again. A recomputed block, while its gradient is taken,
  holds 12.4 times its 32-bit output or 15 times its 16-bit one. Measured by torch's allocator on a CPU at 64 and 128 px; networks of
  fewer than 32 channels at the image's edge take up to 1.4 times as much in 16 bits, where the image itself, always in 32, counts;
- a data-centre GPU does about 25e12 floating-point operations per second in this training (48 images per second at 256 px
  on a V100, 80 on an A100, 90 s per thousand images at 1024 px on an A100, as published for the same networks);
- a CPU core does about 0.1e12 in 32-bit convolutions and 0.18e12 in bfloat16 (two cores: 26 images per second at 64 px).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hdgan.generator import footprint
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec

GIB = 2**30
GPU_FLOPS = 25e12
CORE_FLOPS = 0.1e12
CORE_FLOPS_BF16 = 0.18e12
PNG_BYTES_PER_PX = 1.9
"""Of an H&E or PAS image at 0.25 to 2 um/px: 24 bits shrink to about 15."""
JPEG_BYTES_PER_PX = 0.35
TILE_BYTES_PER_PX = {"auto": 1.3, "png": PNG_BYTES_PER_PX, "jxl": 1.3, "jpeg": JPEG_BYTES_PER_PX, "raw": 0.3, "none": 0.0}
"""Of a stored tile, by its format; of `auto` at most so much."""
MASK_BYTES_PER_PX = 0.03

_KEPT_LOW, _KEPT_FULL = 22.5, 16.4
_REDONE_LOW, _REDONE_FULL = 15.0, 12.4
_R1_KEEPS, _PATH_KEEPS = {"low": 0.95, "full": 0.77}, {"low": 1.1, "full": 1.27}


@dataclass(frozen=True)
class Need:
    """What one stage needs. Bytes and seconds are estimates, None where nothing is known without the data."""

    memory: float | None = None
    """Peak bytes of memory (of the GPU, where the stage uses one)."""
    disk: float | None = None
    """Bytes written."""
    cpu_seconds: float | None = None
    """On the processor cores that were asked about."""
    gpu_seconds: float | None = None
    """On one data-centre GPU; None where a GPU does not help."""


def generator_macs(spec: NetworkSpec) -> float:
    """Multiply-adds of one image drawn."""
    total = 0.0
    for r in spec.block_resolutions:
        c = spec.channels(r)
        total += (9 * c * c + spec.image_channels * c) * r**2
        if r > 4:
            # A stride-2 transposed convolution costs what its input's pixels cost; then a 4x4 filter on features. The image grows by two
            # products a pixel and axis.
            total += 9 * spec.channels(r // 2) * c * (r // 2) ** 2 + (16 * c + 3 * spec.image_channels) * r**2
    return total


def discriminator_macs(spec: NetworkSpec) -> float:
    """Multiply-adds of one image judged."""
    total = float(spec.image_channels * spec.channels(spec.resolution) * spec.resolution**2)
    for r in spec.block_resolutions[1:]:
        c, coarser = spec.channels(r), spec.channels(r // 2)
        total += (9 * c * c + 16 * c) * r**2 + (9 * c * coarser + c * coarser + 16 * c) * (r // 2) ** 2
    c = spec.channels(4)
    return total + 9 * (c + 1) * c * 16 + 16 * c * c + c


def training_flops(spec: NetworkSpec, settings: TrainSettings) -> float:
    """Floating-point operations for one real image shown: both networks forward and backward, both lazy regularisers.

    A pass back costs two forward ones: gradients of the maps and of the weights. In the generator's step the discriminator takes no
    gradient of its weights. One to three percent above what torch counts at 64 px: a fixed filter has no gradient of its weights either.
    """
    g, d = generator_macs(spec), discriminator_macs(spec)
    fakes = 0.0 if settings.reuses_fakes else g
    generator_step, discriminator_step = 3 * g + 2 * d, fakes + 6 * d
    main = generator_step + discriminator_step
    r1 = 6 * d / settings.r1_interval if settings.r1_interval and settings.gamma else 0.0
    path = 6 * g * _path_share(spec, settings) / settings.path_interval if settings.path_weight else 0.0
    if settings.spans_passes(group=spec.minibatch_std_group):
        main += g + 3 * d + fakes  # each pass runs twice, first without a graph
        r1 *= 5 / 3  # and for R1 three times
    return 2 * (main + r1 + path)


def _path_share(spec: NetworkSpec, settings: TrainSettings) -> float:
    """The images whose path lengths a step takes, as a share of the batch: half, to whole images (`shares.path_passes`, which needs torch)."""
    num = settings.microbatch or settings.batch
    num_passes = settings.batch // num
    if settings.spans_passes(group=spec.minibatch_std_group):
        return math.ceil(num_passes / 2) / num_passes
    return max(num // 2, 1) / num


def training_bytes(spec: NetworkSpec, images: int) -> float:
    """Bytes for one pass of `images` images and for weights, average and optimiser."""
    weights = 4 * 2 * sum(9 * 2 * spec.channels(r) ** 2 for r in spec.block_resolutions) + 4 * _label_weights(spec)
    return images * sum(_kept_bytes(spec, r) for r in spec.block_resolutions) + 5 * weights


def _label_weights(spec: NetworkSpec) -> int:
    """Numbers of both networks that are there for labels alone: both embeddings, what takes the generator's, and the discriminator's mapping."""
    width = spec.channels(4)
    of_generator = (spec.label_dim + 1) * spec.w_dim + spec.w_dim**2
    of_discriminator = (spec.label_dim + 1) * width + 8 * (width + 1) * width + (width - 1) * (width + 1)
    return of_generator + of_discriminator if spec.label_dim else 0


def peak_bytes(spec: NetworkSpec, settings: TrainSettings) -> float:
    """The most bytes of a step for weights and what a pass keeps: that of the losses, R1 or path lengths, whichever keeps most."""
    images = settings.microbatch or settings.batch
    found = [_loss_bytes(spec, settings.recompute_from_px)]
    if settings.gamma and settings.r1_interval:
        found.append(_penalty_bytes(spec, _R1_KEEPS))
    if settings.path_weight:
        share = 1.0 if settings.spans_passes(group=spec.minibatch_std_group) else max(images // 2, 1) / images
        found.append(_penalty_bytes(spec, _PATH_KEEPS) * share)
    return training_bytes(spec, 0) + images * max(found)


def _penalty_bytes(spec: NetworkSpec, keeps: Mapping[str, float]) -> float:
    """Bytes for one image whose gradient is differentiated again, by the share that blocks of each number format keep."""
    return sum(keeps["low" if spec.is_low_precision(r) else "full"] * _kept_bytes(spec, r) for r in spec.block_resolutions)


def _loss_bytes(spec: NetworkSpec, recompute_from_px: int | None) -> float:
    """Bytes for one image in the generator's step, in which both networks are differentiated.

    Of recomputed blocks only the inputs are kept, and one of them is whole at a time. The largest is, in the generator, when half of
    what the other blocks keep, the discriminator's, is free again.
    """
    again = [r for r in spec.block_resolutions if recompute_from_px is not None and r >= recompute_from_px]
    kept = sum(_kept_bytes(spec, r) for r in spec.block_resolutions if r not in again)
    if not again:
        return kept
    inputs = sum(_input_bytes(spec, r) for r in again)
    redone = max((_REDONE_LOW if spec.is_low_precision(r) else _REDONE_FULL) * _output_bytes(spec, r) for r in again)
    return inputs + max(kept, kept / 2 + redone)


def _output_bytes(spec: NetworkSpec, resolution: int) -> float:
    """Of one image in the number format of its block."""
    return float((2 if spec.is_low_precision(resolution) else 4) * spec.channels(resolution) * resolution**2)


def _kept_bytes(spec: NetworkSpec, resolution: int) -> float:
    """What the blocks of both networks at `resolution` keep of one image for the gradient."""
    return (_KEPT_LOW if spec.is_low_precision(resolution) else _KEPT_FULL) * _output_bytes(spec, resolution)


def _input_bytes(spec: NetworkSpec, resolution: int) -> float:
    """What enters the blocks of both networks at `resolution`, of one image."""
    image = 4.0 * spec.image_channels * resolution**2
    halved = (2 if spec.is_low_precision(2 * resolution) else 4) * spec.channels(resolution) * resolution**2
    judged = image if resolution == spec.resolution else halved
    return judged + (_output_bytes(spec, resolution // 2) + image / 4 if resolution > 4 else 0.0)


def held_bytes(spec: NetworkSpec, settings: TrainSettings) -> float:
    """Bytes of the images that a step holds while its passes take their turns."""
    return float(spec.image_channels * spec.resolution**2 * settings.num_bytes_held)


def drawing_bytes(spec: NetworkSpec, *, num_blocks: int) -> float:
    """Bytes to draw one image in float32 and keep the maps of the last blocks."""
    return footprint.weight_bytes(spec) + footprint.drawing_bytes(spec.taps(num_blocks))


def labelling_bytes(spec: NetworkSpec, *, num_blocks: int) -> float:
    """Bytes to draw and label one image in float32 on a CPU."""
    return footprint.weight_bytes(spec) + footprint.labelling_bytes(spec.taps(num_blocks))


def drawing_flops(spec: NetworkSpec) -> float:
    """Floating-point operations of one image drawn."""
    return 2 * generator_macs(spec)


def labelling_flops(spec: NetworkSpec, *, num_blocks: int, hidden: tuple[int, ...], heads: int) -> float:
    """Floating-point operations to label one image by the factored prediction.

    The first layer is applied to each map at its own resolution and the sum upsampled; the rest of each head runs on
    every pixel.
    """
    taps = spec.block_resolutions[-num_blocks:]
    first = sum(2 * spec.channels(r) * hidden[0] * r * r for r in taps)
    upsampling = 8 * hidden[0] * spec.resolution**2
    rest = sum(a * b for a, b in zip(hidden, (*hidden[1:], 8), strict=True)) * spec.resolution**2
    return 2.0 * heads * (first + upsampling + rest)


def seconds_on(flops: float, *, cores: int, low_precision: bool = False) -> float:
    """Seconds that `cores` processor cores need."""
    return flops / (cores * (CORE_FLOPS_BF16 if low_precision else CORE_FLOPS))
