"""By how much tiles differ from the overview of their slide where nothing is wrong, and with overviews as other scanners write them.

`python benchmarks/tiles/disagreement.py SLIDE[@MPP]... [--mpp 2] [--tile-px 128]` prints, for each slide, the largest difference of a block of 8 overview px
in a channel (grey levels; median, 99th percentile and largest over tiles), for the overview as it is and treated, and how many tiles would be suspect.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from hdgan.slides.protocol import SlideReader
from hdgan.slides.reader import known_mpp, open_slide
from hdgan.tiles.background import overview_mpp
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.overview import bounded_step, take_overview
from hdgan.tiles.suspicion import block_gaps, suspicion

_MOST_TILES = 300


def filtered(kind: ImageFilter.Filter) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: np.asarray(Image.fromarray(pixels).filter(kind))


TREATMENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda pixels: pixels,
    "sharpened, 2 px, 150 %": filtered(ImageFilter.UnsharpMask(2, 150, 0)),
    "sharpened, 4 px, 300 %": filtered(ImageFilter.UnsharpMask(4, 300, 0)),
    "blurred, 1 px": filtered(ImageFilter.GaussianBlur(1)),
    "blurred, 2 px": filtered(ImageFilter.GaussianBlur(2)),
    "shifted by 1 px": lambda pixels: np.roll(pixels, (1, 1), (0, 1)),
    "shifted by 2 px": lambda pixels: np.roll(pixels, (2, 2), (0, 1)),
    "gamma 0.85": lambda pixels: (255 * (pixels / 255) ** 0.85).astype(np.uint8),
}


def main() -> None:
    """Prints a table for each slide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slides", nargs="+", help="path of a slide, or path@mpp for one that states no scale")
    parser.add_argument("--mpp", type=float, default=2.0)
    parser.add_argument("--tile-px", type=int, default=128)
    asked = parser.parse_args()
    for text in asked.slides:
        path, _, mpp = text.partition("@")
        with closing(open_slide(Path(path), mpp_override=float(mpp) if mpp else None)) as slide:
            tell(slide, mpp=asked.mpp, tile_px=asked.tile_px)


def tell(slide: SlideReader, *, mpp: float, tile_px: int) -> None:
    """Prints the differences of up to 300 tiles of a slide, spread over it."""
    own = known_mpp(slide)
    edge = round(tile_px * max(mpp, own) / own)
    step = bounded_step(max(1.0, overview_mpp(edge * own, slide_mpp=own) / own), slide.size_px)
    overview = take_overview(slide, step_px=step)
    bound = float(TilesConfig.model_fields["max_disagreement"].default)
    places = [(x, y) for y in range(0, slide.size_px[1] - edge + 1, edge) for x in range(0, slide.size_px[0] - edge + 1, edge)]
    chosen = [places[i] for i in np.linspace(0, len(places) - 1, min(len(places), _MOST_TILES)).astype(int)]
    gaps: dict[str, list[float]] = {name: [] for name in TREATMENTS}
    num_suspect = dict.fromkeys(TREATMENTS, 0)
    views = {name: replace(overview, pixels=treat(overview.pixels)) for name, treat in TREATMENTS.items()}
    for xy in chosen:
        tile = slide.read(xy, level0_size=edge, out_px=tile_px)
        for name, view in views.items():
            gaps[name].append(float(block_gaps(tile, view, xy, level0_px=edge)[0].max()))
            num_suspect[name] += suspicion(tile, view, xy, level0_px=edge, most=bound) is not None
    print(f"{slide.path.name}: {len(chosen)} tiles of {tile_px} px at {max(mpp, own):g} um/px, overview at {step * own:.3g} um/px")
    for name, values in gaps.items():
        middle, high, most = np.percentile(values, [50, 99, 100])
        print(f"  {name:24}{middle:8.1f}{high:8.1f}{most:8.1f}   suspect {num_suspect[name]}")


if __name__ == "__main__":
    main()
