"""The contour clean-up in its order: mean of the ensemble, guided filter on the image, label, small pieces, small holes.

It is a step of its own that the evaluation measures before and after, on validation and on test images; nothing applies it unless it is asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdgan.labels import ClassMap
from hdgan.refinement.config import RefinementConfig
from hdgan.refinement.guided import brightness, guided_filter
from hdgan.refinement.pieces import without_small_holes, without_small_objects


def refine(chances: NDArray[np.float32], image: NDArray[np.uint8], config: RefinementConfig, *, classes: ClassMap) -> NDArray[np.uint8]:
    """The cleaned mask uint8 `[H, W]` of mean probabilities `[K, H, W]` and their image uint8 `[H, W, 3]`.

    Raises:
        BadConfig: a limit names no class.
    """
    objects, holes = config.object_limits(classes), config.hole_limits(classes)
    if config.radius_px:
        chances = guided_filter(chances, brightness(image), radius_px=config.radius_px, epsilon=config.epsilon)
    mask = chances.argmax(axis=0).astype(np.uint8)
    return without_small_holes(without_small_objects(mask, objects), holes)
