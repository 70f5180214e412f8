"""Does "lossless" JPEG XL give every pixel back, by the effort that it is written with.

    python benchmarks/tiles/lossless.py [--images 6000] [--efforts 1 2]

Random noise of 1 to 70 px an edge, the hardest to compress, and painted tissue of 64 px. One line for each kind and effort: images of which a pixel came
back changed. Last, how many of both our own codec changes, which compares and must change none. Needs no data.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import imagecodecs
import numpy as np

from hdgan.store.codec import decode, encode
from hdgan.testing.painter import paint

TISSUE_SHARE = 10
"""Images of noise for each of tissue, which takes longer to paint."""


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--efforts", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    kinds = {"noise": [noise(i) for i in range(options.images)], "tissue": [tissue(i) for i in range(options.images // TISSUE_SHARE)]}
    print(f"imagecodecs {imagecodecs.__version__}")
    for name, images in kinds.items():
        for effort in options.efforts:
            print(
                f"{name}, effort {effort}: {num_changed(images, lambda image, effort=effort: again(image, effort))} of {len(images)} changed"
            )
    every = [image for images in kinds.values() for image in images]
    print(f"as we store them: {num_changed(every, lambda image: decode(encode(image, 'jxl'), 'jxl'))} of {len(every)} changed")


def noise(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    height, width = draw.integers(1, 71, 2)
    return draw.integers(0, 256, (height, width, 3), dtype=np.uint8)


def tissue(seed: int) -> np.ndarray:
    return paint(seed, size_px=64, mpp=2.0, outline="full", stain=("pas", "he")[seed % 2]).image


def again(image: np.ndarray, effort: int) -> np.ndarray:
    """What comes back."""
    return imagecodecs.jpegxl_decode(imagecodecs.jpegxl_encode(image, lossless=True, effort=effort, numthreads=1), numthreads=1)


def num_changed(images: list[np.ndarray], through: Callable[[np.ndarray], np.ndarray]) -> int:
    """Images that come back with another pixel."""
    return sum(not np.array_equal(through(image), image) for image in images)


if __name__ == "__main__":
    main()
