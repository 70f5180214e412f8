"""Random views of an image and its mask: crop, turn, flip, stain, blur, noise. Drawing and applying are two functions.

Tissue has no preferred direction, so any turn of a crop is as good a sample; stains differ in strength, so optical density
is scaled and shifted per channel (after Tellez et al. 2018, in RGB instead of HED). Images `[H, W, 3]` uint8, masks `[H, W]` uint8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from hdgan.downstream.config import SegmenterConfig


@dataclass(frozen=True)
class View:
    """What one random view does; every field is data, so a view can be stored and repeated."""

    centre: tuple[float, float]
    """Where the crop lies, y and x, as a share of the room there is (0 to 1)."""
    angle: float
    """Turn of the crop, radians."""
    is_flipped: bool
    gain: tuple[float, float, float]
    """Factor on optical density per channel."""
    offset: tuple[float, float, float]
    """Added optical density per channel."""
    blur_px: float
    noise: float
    noise_key: int


def draw_view(rng: np.random.Generator, config: SegmenterConfig) -> View:
    """A random view under `config`."""
    centre = (float(rng.random()), float(rng.random()))
    quarter = int(rng.integers(4)) * math.pi / 2
    angle = float(rng.random()) * 2 * math.pi
    is_flipped = bool(rng.random() < 0.5)
    gain = np.exp(config.stain * rng.standard_normal(3))
    offset = config.stain / 4 * rng.standard_normal(3)
    blur = config.blur_px * float(rng.random()) if rng.random() < 0.5 else 0.0
    noise = config.noise * float(rng.random())
    return View(
        centre=centre,
        angle=angle if config.turn else quarter,
        is_flipped=is_flipped,
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        offset=(float(offset[0]), float(offset[1]), float(offset[2])),
        blur_px=blur,
        noise=noise,
        noise_key=int(rng.integers(2**62)),
    )


def apply_view(view: View, image: np.ndarray, mask: np.ndarray, *, crop_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The view of a pair: float32 `[crop, crop, 3]` in 0 to 1, and uint8 `[crop, crop]`.

    Where the turned crop does not fit inside the image, the turn is rounded to quarter turns: no pixel is ever invented.
    """
    pixels, labels = _cut(view, image, mask, crop_px)
    return _colour(view, pixels), labels


def _cut(view: View, image: np.ndarray, mask: np.ndarray, crop_px: int) -> tuple[np.ndarray, np.ndarray]:
    height, width = mask.shape
    half = (crop_px - 1) / 2
    cos, sin = math.cos(view.angle), math.sin(view.angle)
    reach = half * (abs(cos) + abs(sin))  # half the edge of the box around the turned crop
    quarters = round(view.angle / (math.pi / 2))
    is_square = abs(view.angle - quarters * math.pi / 2) < 1e-9
    if is_square or 2 * reach > min(height, width) - 1:
        top, left = round(view.centre[0] * (height - crop_px)), round(view.centre[1] * (width - crop_px))
        box = (slice(top, top + crop_px), slice(left, left + crop_px))
        pixels, labels = np.rot90(image[box], -quarters), np.rot90(mask[box], -quarters)
    else:
        middle = np.array([reach + view.centre[0] * (height - 1 - 2 * reach), reach + view.centre[1] * (width - 1 - 2 * reach)])
        matrix = np.array([[cos, -sin], [sin, cos]])
        offset = middle - matrix @ np.array([half, half])
        shape = (crop_px, crop_px)
        planes = [
            ndimage.affine_transform(image[..., k].astype(np.float32), matrix, offset, shape, order=1, mode="nearest") for k in range(3)
        ]
        pixels = np.stack(planes, axis=-1)
        labels = ndimage.affine_transform(mask, matrix, offset, shape, order=0, mode="nearest")
    if view.is_flipped:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255), np.ascontiguousarray(labels)


def _colour(view: View, pixels: np.ndarray) -> np.ndarray:
    floor = 1 / 256  # keeps the logarithm finite at black
    density = -np.log(np.maximum(pixels, 0) * (1 - floor) + floor)
    density = density * np.array(view.gain, np.float32) + np.array(view.offset, np.float32)
    result = (np.exp(-density) - floor) / (1 - floor)
    if view.blur_px > 0:
        result = ndimage.gaussian_filter(result, sigma=(view.blur_px, view.blur_px, 0), mode="nearest")
    if view.noise > 0:
        rng = np.random.Generator(np.random.Philox(key=view.noise_key))
        result = result + view.noise * rng.standard_normal(result.shape, dtype=np.float32)
    clipped: np.ndarray = np.clip(result, 0, 1).astype(np.float32)
    return clipped
