"""Whether background, blur and pen say what they should, and what they cost: `HDGAN_DATA=... python benchmarks/tiles/scores.py`.

Background: `biopsy-a` (PAS) at 8 um/px, recoloured as pale, as grey like silver, as both, and on tinted glass, with noise of 1 and 3 grey levels. Pixels that
are certain in the original (Lab distance from white above 16: tissue, below 4: glass) are looked for again by distance in Lab and by optical density.

Blur: tiles of 256 um, sharp and blurred at 0.5 um/px by Gaussians with the noise of a camera; AUC is the chance that a blurred tile scores as more
blurred than a sharp one, beside the variance of the Laplacian.

Pen: share that counts as ink on painted tissue of four stains without any.

Cost: processor seconds, the best of three, of the scores of one tile of 4096 px beside its encoding, and of the background of an overview.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from compartments import auc
from PIL import Image, ImageFilter

from hdgan.slides.reader import open_slide
from hdgan.slides.table import read_areas
from hdgan.store.atomic import encode_png
from hdgan.testing.painter import paint
from hdgan.testing.stains import STAINS
from hdgan.tiles.background import is_background, is_background_plain, to_lab, white_point
from hdgan.tiles.overview import take_overview
from hdgan.tiles.scores import is_pen, luma, measure_detail

WHITE_DISTANCE = 8.0
MIN_DENSITY = 0.04
SIGMAS_UM = (0.5, 1.0, 2.0, 4.0)


def recoloured(
    pixels: np.ndarray, white: np.ndarray, *, colour: float, strength: float, glass: tuple[int, int, int], noise: float
) -> np.ndarray:
    """The slide with `colour` (1 as it is, 0 grey) and `strength` of its optical density, on glass of another tint, with noise in grey levels."""
    density = -np.log10(np.clip(pixels / white, 0.01, 1.0))
    grey = density.mean(axis=-1, keepdims=True)
    density = strength * (grey + colour * (density - grey))
    grain = np.random.default_rng(0).normal(0, noise, density.shape)
    return np.clip(np.array(glass) * 10**-density + grain, 0, 255).round().astype(np.uint8)


def tell_background(overview: np.ndarray) -> None:
    """Prints the shares of certain tissue and glass that two rules find again."""
    white = white_point(overview)
    away = np.sqrt(((to_lab(overview) - to_lab(white)) ** 2).sum(axis=-1))
    tissue, glass = away > 16, away < 4
    print("background\tnoise\ttissue found, Lab\tglass found, Lab\ttissue found, density\tglass found, density")
    neutral = (244, 244, 244)
    looks = {
        "as scanned": (1.0, 1.0, neutral),
        "pale (half the density)": (1.0, 0.5, neutral),
        "very pale (a quarter)": (1.0, 0.25, neutral),
        "grey as silver": (0.08, 1.0, neutral),
        "grey and pale": (0.08, 0.5, neutral),
        "grey and very pale": (0.08, 0.25, neutral),
        "yellowish glass": (1.0, 1.0, (246, 243, 224)),
        "dim glass, pale": (1.0, 0.5, (212, 208, 214)),
    }
    for name, (colour, strength, tint) in looks.items():
        for noise in (1.0, 3.0):
            pixels = recoloured(overview, white, colour=colour, strength=strength, glass=tint, noise=noise)
            rule = {"white": white_point(pixels), "white_distance": WHITE_DISTANCE}
            masks = (is_background(pixels, **rule), is_background(pixels, **rule, min_density=MIN_DENSITY))
            print(
                name, f"{noise:g}", *(f"{value:.3f}" for mask in masks for value in (1 - mask[tissue].mean(), mask[glass].mean())), sep="\t"
            )


def tell_blur(regions: list[np.ndarray], white: np.ndarray) -> None:
    """Prints scores and AUC for each width of blur; tiles of 512 px at 0.5 um/px with more than 0.3 tissue."""
    tiles = [part for region in regions for half in np.split(region, 2) for part in np.split(half, 2, axis=1)]
    tiles = [tile for tile in tiles if is_background(tile, white=white, white_distance=WHITE_DISTANCE).mean() < 0.7]
    sharp = [(_blur(tile), _smoothness(tile)) for tile in tiles]
    print("\nblur, sigma\tscore, 5 % to 95 %\tAUC\tAUC of Laplacian")
    print("sharp", _range(sharp), "", "", sep="\t")
    is_blurred = np.repeat([False, True], len(tiles))
    for sigma in SIGMAS_UM:
        found = [(_blur(tile), _smoothness(tile)) for tile in (_defocused(tile, sigma) for tile in tiles)]
        ours, theirs = (auc(np.array([pair[i] for pair in sharp + found]), is_blurred) for i in (0, 1))
        print(f"{sigma:g} um", _range(found), f"{ours:.2f}", f"{theirs:.2f}", sep="\t")


def tell_pen() -> None:
    """Prints the share that counts as ink where there is none."""
    print("\nstain, painted without ink\tcounts as ink, worst of three centres")
    for stain in STAINS:
        shares = []
        for centre in ("north", "south", "east"):
            image = paint(3, size_px=1024, mpp=1.0, stain=stain, centre=centre, patient="p").image
            shares.append(is_pen(np.asarray(Image.fromarray(image).reduce(8))).mean())
        print(stain, f"{max(shares):.4f}", sep="\t")


def tell_cost(overview: np.ndarray, region: np.ndarray) -> None:
    """Prints processor seconds."""
    white = white_point(overview)
    tile = np.tile(region, (4, 4, 1))
    print("\ncost\tprocessor s")
    print(
        "blur and compartment of a 4096 px tile at 0.25 um/px",
        f"{_seconds(lambda: measure_detail(tile, mpp=0.25, dark=120)):.3f}",
        sep="\t",
    )
    print("encoding it as PNG", f"{_seconds(lambda: encode_png(tile)):.3f}", sep="\t")
    for name, rule in (("background of the overview", is_background), ("the same, plain", is_background_plain)):
        print(name, f"{_seconds(lambda rule=rule: rule(overview, white=white, white_distance=WHITE_DISTANCE)):.3f}", sep="\t")


def _blur(tile: np.ndarray) -> float:
    score = measure_detail(tile, mpp=0.5, dark=0).blur
    assert score is not None
    return score


def _smoothness(tile: np.ndarray) -> float:
    grey = luma(np.asarray(Image.fromarray(tile).reduce(4))).astype(np.float64)
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return -float(laplacian.var())


def _defocused(tile: np.ndarray, sigma_um: float) -> np.ndarray:
    soft = np.asarray(Image.fromarray(tile).filter(ImageFilter.GaussianBlur(sigma_um / 0.5))).astype(np.float64)
    return np.clip(soft + np.random.default_rng(1).normal(0, 1.5, soft.shape), 0, 255).round().astype(np.uint8)


def _range(found: list[tuple[float, float]]) -> str:
    low, high = np.percentile([blur for blur, _ in found], [5, 95])
    return f"{low:.2f} to {high:.2f}"


def _seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        since = time.process_time()
        work()
        best = min(best, time.process_time() - since)
    return best


def main() -> None:
    """Prints four tables."""
    if "HDGAN_DATA" not in os.environ:
        sys.exit("HDGAN_DATA is not set: the folder that holds kidney/slides/biopsy-a.tif")
    folder = Path(os.environ["HDGAN_DATA"]) / "kidney" / "slides"
    with closing(open_slide(folder / "biopsy-a.tif")) as slide:
        overview = take_overview(slide, step_px=16.0).pixels
        areas = read_areas(folder / "biopsy-a.scanned.csv")
        regions = [slide.read((a.x_px, a.y_px), level0_size=a.width_px, out_px=a.width_px) for a in areas]
    tell_background(overview)
    tell_blur(regions, white_point(overview))
    tell_pen()
    tell_cost(overview, regions[1])


if __name__ == "__main__":
    main()
