"""The offline embedder: statistics of oriented band-pass filters on stain densities; nothing in it was trained, so there is nothing to license.

Two orders of wavelet modulus (scattering: Bruna and Mallat, arXiv 1203.1513) with the filters of the steerable pyramid (Simoncelli and Freeman,
ICIP 1995) and statistics across bands and colours as Portilla and Simoncelli (IJCV 40, 2000) chose them for texture. What it sees and what
it cannot see: docs/concepts/image-quality.md.

Letters: N images, C = 3 channels, J levels of an octave each, L = 4 orientations, P edge of a padded image in px.
"""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np

ORIENTATIONS = 4
MAX_EDGE_PX = 256
_VERSION = 1
_CHUNK_PIXELS = 1 << 17
"""Pixels of images embedded at once: some 20 times as many complex numbers are alive then, in the processor's cache or near it."""
_DARK = 8.0
"""Grey levels added before the logarithm: a black pixel's density stays near that of dense nuclei."""
_FLOOR = 2e-3
"""Densities below this are not told apart: half a grey level of a light pixel."""
_COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
"""Rows: darkness, red against blue, green against both; of the densities of red, green and blue."""
_CHANNELS = ("dark", "red-blue", "green")
_QUANTILES = (0.05, 0.5, 0.95)


class Scattering:
    """Implements `Embedder` for square images of one size, a power of two from 16 px on.

    Images above 256 px are averaged down to 256 px first: what is finer is not seen.
    """

    has_common_unit = False

    def __init__(self, size_px: int) -> None:
        """The embedder of images of edge `size_px`.

        Raises:
            ValueError: the size is no power of two, or below 16.
        """
        if size_px < 16 or size_px & (size_px - 1):
            raise ValueError(f"images of {size_px} px: the edge must be a power of two, 16 or more")
        self.size_px = size_px
        self._edge_px = min(size_px, MAX_EDGE_PX)
        self._num_levels = int(math.log2(self._edge_px)) - 2
        self._pad_px = self._edge_px // 8
        self._bands = [oriented_bands(self._padded_px(j)) for j in range(self._num_levels)]
        self._finest = finest_band(self._padded_px(0))
        self.feature_names = tuple(_feature_names(self._num_levels))
        self.num_features = len(self.feature_names)
        self.name = f"scattering {self._edge_px} px"
        self.content_hash = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode()).hexdigest()

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Features `[N, num_features]` float32 of images `[N, H, W, 3]` uint8.

        Raises:
            ValueError: the images are of another size or type.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (self.size_px, self.size_px, 3):
            raise ValueError(f"images {images.dtype} {images.shape}: uint8 [N, {self.size_px}, {self.size_px}, 3] are wanted")
        step = max(1, _CHUNK_PIXELS // self.size_px**2)
        parts = [self._features(images[i : i + step]) for i in range(0, len(images), step)]
        return np.concatenate(parts) if parts else np.empty((0, self.num_features), np.float32)

    def _description(self) -> dict[str, object]:
        """Everything that decides a feature; the code behind it is guarded by fixed values in the tests."""
        constants = {"dark": _DARK, "floor": _FLOOR, "quantiles": _QUANTILES, "colours": np.round(_COLOURS, 9).tolist()}
        return {"kind": "scattering", "version": _VERSION, "size_px": self.size_px, "names": self.feature_names, **constants}

    def _padded_px(self, level: int) -> int:
        return (self._edge_px + 2 * self._pad_px) >> level

    def _features(self, images: np.ndarray) -> np.ndarray:
        colours = densities(images, self._edge_px)
        padded = np.pad(colours, ((0, 0), (0, 0), *[(self._pad_px, self._pad_px)] * 2), mode="reflect")
        spectrum = np.fft.fft2(padded)
        finest = self._inside(np.fft.ifft2(spectrum * self._finest).real, 0)
        found = [_pixel_statistics(colours), _log(np.abs(finest).mean(axis=(-2, -1)))]
        moduli = []
        for level in range(self._num_levels):
            bands = self._filtered(spectrum, level)
            moduli.append(np.abs(bands[:, 0]))
            found += [_strengths(np.abs(self._inside(bands, level))), _agreements(self._inside(bands, level))]
        found += [self._second_order(moduli), _log(self._coarsest(spectrum).std(axis=(-2, -1)))]
        return np.concatenate([part.reshape(len(images), -1) for part in found], axis=1).astype(np.float32)

    def _filtered(self, spectrum: np.ndarray, level: int) -> np.ndarray:
        """The complex bands `[..., L, P_level, P_level]` of a spectrum `[..., P, P]` of any finer or equal level."""
        return np.asarray(np.fft.ifft2(_cropped(spectrum, self._padded_px(level))[..., None, :, :] * self._bands[level]))

    def _second_order(self, moduli: list[np.ndarray]) -> np.ndarray:
        """For each pair of levels, fine and coarse, and each angle between their orientations: how a fine band's strength itself varies.

        `[N, J (J - 1) / 2 * L]`, as the logarithm of its share of the fine band's strength; mean over the fine band's orientations.
        """
        found = []
        for fine, modulus in enumerate(moduli):
            strength = self._inside(modulus, fine).mean(axis=(-2, -1))[:, :, None]
            spectrum = np.fft.fft2(modulus)
            for coarse in range(fine + 1, self._num_levels):
                variation = np.abs(self._inside(self._filtered(spectrum, coarse), coarse)).mean(axis=(-2, -1))
                share = np.log((variation + _FLOOR) / (strength + _FLOOR))  # [N, L fine, L coarse]
                turned = [np.stack([share[:, i, (i + turn) % ORIENTATIONS] for i in range(ORIENTATIONS)]) for turn in range(ORIENTATIONS)]
                found += [part.mean(axis=0) for part in turned]
        return np.stack(found, axis=1)

    def _coarsest(self, spectrum: np.ndarray) -> np.ndarray:
        """What is left below the last band, `[N, C, h, w]`."""
        edge = self._padded_px(self._num_levels - 1)
        low = np.fft.ifft2(_cropped(spectrum, edge) * _lowest_band(edge)).real
        return self._inside(low, self._num_levels - 1)

    def _inside(self, maps: np.ndarray, level: int) -> np.ndarray:
        """Maps `[..., P_level, P_level]` without their padding."""
        pad = self._pad_px >> level
        return maps[..., pad:-pad, pad:-pad]


def densities(images: np.ndarray, edge_px: int) -> np.ndarray:
    """Optical densities `[N, 3, edge, edge]` float32 of images uint8: darkness and two colour differences, 0 on white glass (255).

    Densities, because stains add up in them (Beer-Lambert); averaged down to `edge_px` as light, before the logarithm.
    """
    N, H, W, _ = images.shape
    light = images.astype(np.float32).reshape(N, edge_px, H // edge_px, edge_px, W // edge_px, 3).mean(axis=(2, 4))
    density = np.log((255 + _DARK) / (light + np.float32(_DARK)))
    return np.ascontiguousarray(np.einsum("cd,nhwd->nchw", _COLOURS.astype(np.float32), density))


def oriented_bands(edge_px: int) -> np.ndarray:
    """Filters `[L, P, P]` float32 in the frequency domain: an octave around a quarter of the sampling rate, one half-plane each.

    Raised cosines in log frequency, whose squares add up to one from octave to octave; the response is complex, its modulus the
    strength of the band there.
    """
    radius, angle = _frequencies(edge_px)
    octave = np.where(np.abs(_octaves(radius)) < 1, np.cos(np.pi / 2 * _octaves(radius)), 0)
    turns = np.arange(ORIENTATIONS)[:, None, None] * np.pi / ORIENTATIONS
    across = np.cos(angle - turns)
    return np.asarray(2 * octave * np.where(across > 0, across ** (ORIENTATIONS - 1), 0), np.float32)


def finest_band(edge_px: int) -> np.ndarray:
    """The filter `[P, P]` of what is finer than the first octave, in all directions."""
    octaves = np.clip(_octaves(_frequencies(edge_px)[0]), 0, 1)
    return np.asarray(np.sin(np.pi / 2 * octaves), np.float32)


def _lowest_band(edge_px: int) -> np.ndarray:
    octaves = np.clip(_octaves(_frequencies(edge_px)[0]), -1, 0)
    return np.asarray(-np.sin(np.pi / 2 * octaves), np.float32)


def _octaves(radius: np.ndarray) -> np.ndarray:
    """Octaves above a quarter of the sampling rate."""
    return np.asarray(np.log2(np.maximum(radius, 1e-9) / 0.25))


def _frequencies(edge_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Radius (cycles per px) and angle `[P, P]` of each place in a spectrum as `fft2` lays it out."""
    line = np.fft.fftfreq(edge_px)
    return np.hypot(line[:, None], line[None, :]), np.arctan2(line[:, None], line[None, :])


def _cropped(spectrum: np.ndarray, edge_px: int) -> np.ndarray:
    """The low frequencies `[..., edge, edge]` of a spectrum, scaled so that its inverse keeps the values."""
    edge, half = spectrum.shape[-1], edge_px // 2
    if edge == edge_px:
        return spectrum
    kept = np.r_[0 : edge_px - half, edge - half : edge]
    return np.asarray(spectrum[..., kept[:, None], kept[None, :]] * np.float32((edge_px / edge) ** 2))


def _pixel_statistics(colours: np.ndarray) -> np.ndarray:
    """Means, spreads, correlations and quantiles of the channels, `[N, 18]`."""
    flat = colours.reshape(*colours.shape[:2], -1)
    mean, spread = flat.mean(axis=-1), flat.std(axis=-1)
    together = np.einsum("ncp,ndp->ncd", flat - mean[..., None], flat - mean[..., None]) / flat.shape[-1]
    correlations = [together[:, i, k] / (spread[:, i] * spread[:, k] + _FLOOR**2) for i, k in ((0, 1), (0, 2), (1, 2))]
    quantiles = np.quantile(flat, _QUANTILES, axis=-1)
    return np.concatenate([mean, _log(spread), np.stack(correlations, axis=1), *quantiles], axis=1)


def _strengths(moduli: np.ndarray) -> np.ndarray:
    """Of bands' moduli `[N, C, L, h, w]`: darkness by orientation, the colours over all orientations; mean and unevenness, `[N, 2 (L + 2)]`."""
    mean, spread = moduli.mean(axis=(-2, -1)), moduli.std(axis=(-2, -1))
    parts = [_log(mean), np.log((spread + _FLOOR) / (mean + _FLOOR))]
    return np.concatenate([np.concatenate((part[:, 0], part[:, 1:].mean(axis=-1)), axis=1) for part in parts], axis=1)


def _agreements(bands: np.ndarray) -> np.ndarray:
    """Whether the channels' structures of one size lie on each other: correlations of their bands over places and orientations, `[N, 3]`."""
    flat = bands.reshape(*bands.shape[:2], -1)
    power = np.square(np.abs(flat)).mean(axis=-1)
    pairs = ((0, 1), (0, 2), (1, 2))
    shared = [(flat[:, i] * flat[:, k].conj()).real.mean(axis=-1) for i, k in pairs]
    return np.stack([s / (np.sqrt(power[:, i] * power[:, k]) + _FLOOR**2) for s, (i, k) in zip(shared, pairs, strict=True)], axis=1)


def _log(strength: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(strength + _FLOOR))


def _feature_names(num_levels: int) -> list[str]:
    """What each feature is, in their order."""
    pairs = ["dark~red-blue", "dark~green", "red-blue~green"]
    names = [f"{c} {what}" for what in ("mean", "spread") for c in _CHANNELS] + pairs
    names += [f"{c} quantile {q}" for q in _QUANTILES for c in _CHANNELS] + [f"{c} finest" for c in _CHANNELS]
    bands = [f"dark {turn * 180 // ORIENTATIONS} degrees" for turn in range(ORIENTATIONS)] + list(_CHANNELS[1:])
    for level in range(num_levels):
        names += [f"level {level} {band} {what}" for what in ("strength", "unevenness") for band in bands]
        names += [f"level {level} {pair}" for pair in pairs]
    for fine in range(num_levels):
        for coarse in range(fine + 1, num_levels):
            names += [f"levels {fine} to {coarse}, {turn * 180 // ORIENTATIONS} degrees apart" for turn in range(ORIENTATIONS)]
    return names + [f"{c} coarsest" for c in _CHANNELS]
