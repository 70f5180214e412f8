"""How one tile is stored, and back to pixels `[H, W, 3]` uint8. The suffix of a tile's name says which way.

| format | suffix | what |
|---|---|---|
| `png` | `.png` | lossless, read by everything |
| `jxl` | `.jxl` | lossless JPEG XL at effort 1 (imagecodecs): smaller than PNG, written many times faster, slower to read |
| `jpeg` | `.jpg` | JPEG without colour subsampling |
| `raw` | `.tif` | the slide's own JPEG tiles in a TIFF of one level: see `hdgan.store.jpeg_tiff` |
| `none` | none | nothing: the tile is read from its slide |
"""

from __future__ import annotations

import io
from typing import Literal, get_args

import numpy as np
from PIL import Image

from hdgan.store.atomic import UNREADABLE, encode_png

Format = Literal["png", "jxl", "jpeg", "raw", "none"]
Store = Literal["auto", "png", "jxl", "jpeg", "raw", "none"]
"""What may be asked for: a format, or `auto`, which is decided for each slide and loses nothing (`hdgan.tiles.encode`)."""
STORES: tuple[Store, ...] = get_args(Store)

SUFFIXES: dict[Format, str] = {"png": ".png", "jxl": ".jxl", "jpeg": ".jpg", "raw": ".tif", "none": ""}
LOSSLESS: tuple[Store, ...] = ("auto", "png", "jxl", "raw", "none")
"""Ways that give the pixels that were read from the slide."""

UNDECODABLE = (*UNREADABLE, RuntimeError, IndexError, KeyError)
"""What decoders raise for damaged bytes; those of imagecodecs are RuntimeErrors."""


def format_of(name: str) -> Format:
    """The format of a tile called `name`."""
    return next((form for form, suffix in SUFFIXES.items() if suffix and name.endswith(suffix)), "none")


def stem(name: str) -> str:
    """The name of a tile without the suffix of its format."""
    return name.removesuffix(SUFFIXES[format_of(name)])


def encode(pixels: np.ndarray, form: Format, *, jpeg_quality: int = 95) -> bytes:
    """Pixels `[H, W, 3]` uint8 in `form`, which is not `raw`: that is copied, not encoded. Equal pixels give equal bytes; `none` gives none."""
    if form == "none":
        return b""
    if form == "png":
        return encode_png(pixels)
    if form == "jxl":
        import imagecodecs  # slow to import, and most archives need none of it

        pixels = np.ascontiguousarray(pixels)
        fast = bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1, numthreads=1))
        # Effort 1 of libjxl 0.11 changes a pixel in one of some 200 images of noise; none was seen in tissue, and effort 2 changes none.
        if np.array_equal(imagecodecs.jpegxl_decode(fast, numthreads=1), pixels):
            return fast
        return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=2, numthreads=1))
    assert form == "jpeg", f"{form} cannot be encoded"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=jpeg_quality, subsampling="4:4:4")
    return buffer.getvalue()


def decode(data: bytes, form: Format) -> np.ndarray:
    """The pixels `[H, W, 3]` uint8 of a stored tile.

    Raises:
        Exception: one of `UNDECODABLE`; the bytes are damaged.
    """
    if form == "jxl":
        import imagecodecs

        return _checked(imagecodecs.jpegxl_decode(data, numthreads=1))
    if form == "raw":
        import tifffile

        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            return _checked(tiff.pages[0].asarray(maxworkers=1))
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def _checked(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"decodes to {pixels.dtype} {pixels.shape}, not to 8-bit RGB")
    return pixels
