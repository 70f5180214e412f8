"""Letters on pictures that Pillow draws: its own font has those of ASCII alone, and names of classes, slides and people have others."""

from __future__ import annotations

from pathlib import Path

from PIL import ImageFont


def letters(text: str, *, size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font of about `size_px` in which `text` can be read: Pillow's own where that has its letters, else DejaVu Sans, which comes with matplotlib.

    DejaVu has Latin, Greek, Cyrillic, Arabic and Hebrew letters, and none of Chinese, Japanese or Korean: a picture shows boxes there.
    """
    if text.isascii():
        return ImageFont.load_default(size_px)
    from matplotlib import get_data_path  # a tenth of a second that pages in ASCII need not wait for

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size_px)
