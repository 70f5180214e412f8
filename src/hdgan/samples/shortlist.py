"""Which images to annotate: a varied and typical few, chosen by what they look like and by nothing else.

Each image is described by its colours and its texture; k-medoids picks the images that stand for the groups (a farthest-point choice alone would pick
the failures, which lie far from everything). No random draw is involved: equal images give an equal list.

Scores on images that were chosen are not those of a random sample; for these, others are drawn at random beside the list.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hdgan.randomness import stream

DESCRIBED_PX = 256
"""Images are averaged down to at most this edge before they are described."""

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_SIGMAS_PX = (0, 1, 2, 4)
_ORIENTATIONS = 4
_ROUNDS = 50
_MOST_CANDIDATES = 4096


@dataclass(frozen=True)
class Shortlist:
    """The chosen images, in an order of which every beginning is varied too, and how many images each one stands for."""

    chosen: tuple[int, ...]
    group_sizes: tuple[int, ...]


def choose(descriptors: NDArray[np.float64], *, num: int) -> Shortlist:
    """`num` images (all, where there are fewer) that stand for the `[N, D]` descriptors.

    k-medoids: the greedy start of PAM (Kaufman and Rousseeuw 1990), then alternation. Beyond 4096 images only the first 4096 are
    candidates; samples come in no order, so these are as good as any.
    """
    candidates = descriptors[:_MOST_CANDIDATES]
    distances = _distances(_standardised(candidates))
    medoids = _greedy_medoids(distances, num=min(num, len(candidates)))
    for _ in range(_ROUNDS):
        groups = distances[:, medoids].argmin(axis=1)
        moved = np.array([_medoid(distances, np.nonzero(groups == group)[0], medoid) for group, medoid in enumerate(medoids)])
        if np.array_equal(moved, medoids):
            break
        medoids = moved
    sizes = np.bincount(distances[:, medoids].argmin(axis=1), minlength=len(medoids))
    order = _farthest_first(distances[np.ix_(medoids, medoids)], start=int(sizes.argmax()), num=len(medoids))
    return Shortlist(tuple(medoids[order].tolist()), tuple(sizes[order].tolist()))


def draw_random(num_images: int, *, beside: Collection[int], num: int, seed: int) -> tuple[int, ...]:
    """`num` of the first `num_images` indices that are not in `beside`, drawn at random by `seed`; a smaller `num` gives the beginning of a larger one."""
    left = [index for index in range(num_images) if index not in set(beside)]
    return tuple(left[i] for i in stream(seed, "samples.random").permutation(len(left))[:num])


def describe(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Colour and texture of an image uint8 `[H, W, 3]`, float64 `[41]`; independent of where in the image things lie.

    Colour: mean, deviation and five quantiles of brightness and two opponent channels. Texture: gradient energy of the brightness at four
    scales in four orientations, and the contrast that is left at each scale.
    """
    pixels = shrink(image, edge_px=DESCRIBED_PX).astype(np.float64) / 255
    red, green, blue = np.moveaxis(pixels, 2, 0)
    brightness = (red + green + blue) / 3
    parts: list[float] = []
    for channel in (brightness, red - blue, green - (red + blue) / 2):
        parts += [float(channel.mean()), float(channel.std()), *np.quantile(channel, _QUANTILES).tolist()]
    for sigma in _SIGMAS_PX:
        parts += _texture(ndimage.gaussian_filter(brightness, sigma))
    return np.asarray(parts)


def shrink(image: NDArray[np.uint8], *, edge_px: int) -> NDArray[np.uint8]:
    """`image` averaged over whole blocks until its longer edge is at most `edge_px`; itself when it is small enough."""
    factor = -(-max(image.shape[:2]) // edge_px)
    if factor <= 1:
        return image
    return np.round(_block_mean(image.astype(np.float64), factor)).astype(np.uint8)


def describe_all(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Descriptors `[N, 41]` of `images`."""
    return np.stack([describe(image) for image in images])


def _block_mean(pixels: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Means over blocks of `factor` px; what is left over at the right and below is cut off, unless nothing else is there."""
    height, width = (max(size // factor, 1) for size in pixels.shape[:2])
    step_y, step_x = min(factor, pixels.shape[0]), min(factor, pixels.shape[1])
    blocks = pixels[: height * step_y, : width * step_x].reshape(height, step_y, width, step_x, pixels.shape[2])
    mean: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return mean


def _texture(plane: NDArray[np.float64]) -> list[float]:
    """Contrast, and root gradient energy in each orientation, of one plane `[H, W]`."""
    if min(plane.shape) < 2:
        return [0.0] * (_ORIENTATIONS + 1)
    along_y, along_x = np.gradient(plane)
    energy = along_y**2 + along_x**2
    bins = (np.floor(np.arctan2(along_y, along_x) / np.pi * _ORIENTATIONS + 0.5).astype(int)) % _ORIENTATIONS
    sums = np.bincount(bins.ravel(), weights=energy.ravel(), minlength=_ORIENTATIONS) / plane.size
    return [float(plane.std()), *np.sqrt(sums).tolist()]


def _standardised(descriptors: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = descriptors.std(axis=0)
    scaled: NDArray[np.float64] = (descriptors - descriptors.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    return scaled


def _distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distances `[N, N]`, row by row: no `[N, N, D]` array, and a distance is the same from either side."""
    return np.stack([np.sqrt(((points - point) ** 2).sum(axis=1)) for point in points])


def _greedy_medoids(distances: NDArray[np.float64], *, num: int) -> NDArray[np.int64]:
    """`num` indices, each the one that brings all points nearest to those chosen."""
    chosen: list[int] = []
    nearest = np.full(len(distances), np.inf)
    for _ in range(num):
        costs = np.minimum(distances, nearest).sum(axis=1)
        costs[chosen] = np.inf  # equal images gain nothing and may still be needed to fill the number
        chosen.append(int(costs.argmin()))
        nearest = np.minimum(nearest, distances[chosen[-1]])
    return np.asarray(chosen, dtype=np.int64)


def _farthest_first(distances: NDArray[np.float64], *, start: int, num: int) -> NDArray[np.int64]:
    """`num` indices: `start`, then always the one farthest from all before it."""
    chosen = [start]
    nearest = distances[start].copy()
    nearest[start] = -1.0
    while len(chosen) < num:
        following = int(nearest.argmax())
        chosen.append(following)
        nearest = np.minimum(nearest, distances[following])
        nearest[chosen] = -1.0
    return np.asarray(chosen, dtype=np.int64)


def _medoid(distances: NDArray[np.float64], members: NDArray[np.int64], current: int) -> int:
    """The member nearest to all members of its group; the current one when no member is left (equal images share a group)."""
    if len(members) == 0:
        return int(current)
    return int(members[distances[np.ix_(members, members)].sum(axis=1).argmin()])
