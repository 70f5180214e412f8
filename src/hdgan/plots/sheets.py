"""Many small images on one sheet. Axes: `[H, W, 3]` uint8."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_STRIP_PX, _LETTERS_PX = 18, 14


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], *, columns: int | None = None, gap_px: int = 4, background: tuple[int, int, int] = (255, 255, 255)
) -> NDArray[np.uint8]:
    """The `images` in reading order on a grid as square as can be (or of `columns`), one uint8 array `[H, W, 3]`.

    Images smaller than the largest are set in the middle of their cell; nothing is scaled.

    Raises:
        ValueError: there are no images.
    """
    if not images:
        raise ValueError("a contact sheet needs images")
    across = columns or math.ceil(math.sqrt(len(images)))
    down = -(-len(images) // across)
    cell_h, cell_w = (max(image.shape[axis] for image in images) for axis in (0, 1))
    height, width = down * (cell_h + gap_px) + gap_px, across * (cell_w + gap_px) + gap_px
    sheet = np.empty((height, width, 3), dtype=np.uint8)
    sheet[:] = background
    for number, image in enumerate(images):
        row, column = divmod(number, across)
        top = gap_px + row * (cell_h + gap_px) + (cell_h - image.shape[0]) // 2
        left = gap_px + column * (cell_w + gap_px) + (cell_w - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def numbered_sheet(images: Sequence[NDArray[np.uint8]], *, first: int, columns: int | None = None) -> NDArray[np.uint8]:
    """The `images` in reading order on a `contact_sheet`, each under its number, which counts from `first`.

    Raises:
        ValueError: there are no images.
    """
    return named_sheet(images, [str(number) for number in range(first, first + len(images))], columns=columns)


def named_sheet(images: Sequence[NDArray[np.uint8]], names: Sequence[str], *, columns: int | None = None) -> NDArray[np.uint8]:
    """The `images` in reading order on a `contact_sheet`, each under its name; what of a name is wider than the image is cut off.

    Raises:
        ValueError: there are no images, or not as many names.
    """
    cells = [np.concatenate([_strip(name, image.shape[1]), image]) for image, name in zip(images, names, strict=True)]
    return contact_sheet(cells, columns=columns)


def scaled(image: NDArray[np.uint8], *, least_px: int, most_px: int = 512) -> NDArray[np.uint8]:
    """The square `image [S, S, 3]` uint8 with every pixel repeated until its edge is `least_px`, or averaged down to at most `most_px`.

    By whole factors: pixels stay squares. A rest that does not fill a cell is cut off.
    """
    edge = image.shape[0]
    if edge > most_px:
        step = -(-edge // most_px)
        rest = edge // step * step
        cells = image[:rest, :rest].reshape(rest // step, step, rest // step, step, -1)
        return np.asarray(cells.mean(axis=(1, 3)).round(), np.uint8)
    factor = -(-least_px // edge)
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _strip(text: str, width: int) -> NDArray[np.uint8]:
    """Dark letters on white, `[18, width, 3]`."""
    strip = Image.new("RGB", (width, _STRIP_PX), (255, 255, 255))
    ImageDraw.Draw(strip).text((2, 0), text, fill=(40, 40, 40), font=ImageFont.load_default(_LETTERS_PX))
    return np.array(strip)
