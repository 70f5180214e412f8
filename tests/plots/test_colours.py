from __future__ import annotations

import numpy as np

from hdgan.labels import KIDNEY
from hdgan.plots.colours import coloured


def test_each_class_has_its_colour_and_what_is_ignored_is_black():
    picture = coloured(np.array([[0, 1, 4, 255]], np.uint8), KIDNEY)
    assert [tuple(pixel) for pixel in picture[0].tolist()] == [*(KIDNEY.classes[i].rgb for i in (0, 1, 4)), (0, 0, 0)]
