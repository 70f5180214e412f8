"""The U-Net as a control of the evaluation: the same few annotated images, no generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hdgan.downstream.config import SegmenterConfig
from hdgan.downstream.fit import HeldPairs, fit_segmenter
from hdgan.labels import ClassMap
from hdgan.progress import SILENT, Progress


def unet_predictor(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    classes: ClassMap,
    *,
    config: SegmenterConfig | None = None,
    mpp: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> Callable[[np.ndarray], np.ndarray]:
    """A U-Net trained on the pairs (uint8 `[H, W, 3]`, uint8 `[H, W]`): image in, mask out.

    Raises:
        BadInput: there are no pairs, or an image is too small for the network.
    """
    settings = config or SegmenterConfig()
    pairs = HeldPairs(images, masks)
    name = f"U-Net on {len(pairs)} annotated images"
    return fit_segmenter(pairs, settings, classes=classes, mpp=mpp, name=name, seed=seed, device=device, progress=progress).predict
