"""Small slides painted for the tests of slides and tiles: lossless tiled TIFF with a pyramid, so that pixels can be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

GLASS = (241, 240, 242)


def paint(
    width: int = 640, height: int = 512, *, seed: int = 0, tissue: tuple[float, float, float, float] = (0.1, 0.1, 0.7, 0.9)
) -> np.ndarray:
    """Textured tissue in the box `tissue` (left, top, right, bottom as shares) on noisy glass: `[H, W, 3]` uint8."""
    rng = np.random.default_rng(seed)
    image = np.array(GLASS) + rng.integers(-2, 3, (height, width, 1))
    left, top, right, bottom = (round(share * edge) for share, edge in zip(tissue, (width, height, width, height), strict=True))
    texture = rng.integers(0, 90, (bottom - top, right - left, 3))
    image[top:bottom, left:right] = np.array([190, 120, 170]) - texture
    return image.astype(np.uint8)


def write_slide(
    path: Path, pixels: np.ndarray, *, mpp: float | None = 0.5, levels: int = 3, tile: int = 128, compression: str | None = "zlib"
) -> Path:
    """Writes a tiled, pyramidal TIFF, each level the mean of 2 x 2 px of the one before."""
    scale = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"} if mpp else {}
    with tifffile.TiffWriter(path) as writer:
        level = pixels
        for index in range(levels):
            writer.write(
                level,
                tile=(tile, tile),
                photometric="rgb",
                compression=compression,
                subfiletype=1 if index else 0,
                metadata=None,
                **({} if index else scale),
            )
            level = halved(level)
    return path


APERIO = "Aperio Image Library v12.0\r\n{width}x{height} [0,0 {width}x{height}] (256x256) painted|AppMag = 40|MPP = 0.25"


def write_coded(
    path: Path,
    pixels: np.ndarray,
    *,
    codec: str,
    tile: tuple[int, int] = (128, 128),
    levels: int = 2,
    is_aperio: bool = False,
    is_bigtiff: bool = False,
    quality: int = 85,
) -> Path:
    """Writes a tiled pyramid (tile is width, height) compressed as `codec` of `CODECS`; as an SVS of x40 and 0.25 um/px where asked."""
    options = dict(CODECS[codec])
    if options.get("compression") == "jpeg":
        options["compressionargs"] = {"level": quality}
    with tifffile.TiffWriter(path, bigtiff=is_bigtiff) as writer:
        level = pixels
        for index in range(levels):
            height, width = level.shape[:2]
            text = APERIO.format(width=width, height=height) if is_aperio else "painted"
            writer.write(
                _as_stored(level, codec),
                tile=(tile[1], tile[0]),
                description=text,
                software=False,
                subfiletype=0 if is_aperio or not index else 1,
                metadata=None,
                **options,
            )
            level = halved(level)
    return path


CODECS = {
    "jpeg rgb": {"compression": "jpeg", "photometric": "rgb", "subsampling": (1, 1)},
    "jpeg 4:4:4": {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (1, 1)},
    "jpeg 4:2:2": {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (2, 1)},
    "jpeg 4:2:0": {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (2, 2)},
    "deflate": {"compression": "zlib", "photometric": "rgb"},
    "deflate, differences": {"compression": "zlib", "photometric": "rgb", "predictor": True},
    "lzw": {"compression": "lzw", "photometric": "rgb"},
    "lzw, differences": {"compression": "lzw", "photometric": "rgb", "predictor": True},
    "stored": {"photometric": "rgb"},
    "jpeg 2000 rgb": {"compression": "aperio_jp2000_rgb", "photometric": "rgb"},
    "jpeg 2000 ycbcr": {"compression": "aperio_jp2000_ycbc", "photometric": "rgb"},
}


def _as_stored(pixels: np.ndarray, codec: str) -> np.ndarray:
    """Pixels as the writer wants them: it converts to YCbCr for JPEG, but not for JPEG 2000."""
    if codec != "jpeg 2000 ycbcr":
        return pixels
    return np.asarray(Image.fromarray(pixels).convert("YCbCr"))


def halved(pixels: np.ndarray) -> np.ndarray:
    """The mean of 2 x 2 px, rounded half up; odd edges are cut off."""
    height, width = (edge // 2 * 2 for edge in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    return ((blocks.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)


def lose(path: Path, *, level: int, tiles: tuple[int, ...]) -> None:
    """Has a level list no data for some of its tiles."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = tiff.pages[level].tags[name]
            tag.overwrite(tuple(0 if index in tiles else value for index, value in enumerate(tag.value)))


def damage(path: Path, *, tile_index: int) -> None:
    """Overwrites the compressed bytes of one tile of level 0."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, count = page.dataoffsets[tile_index], page.databytecounts[tile_index]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"\xff" * count
    path.write_bytes(bytes(data))
