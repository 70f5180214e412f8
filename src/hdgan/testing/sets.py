"""Named sets of painted pairs, as the oracle and the comparison read them: exact masks instead of an expert's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from hdgan.downstream.sets import SetsNote, write_sets
from hdgan.labels import KIDNEY
from hdgan.progress import SILENT, Progress
from hdgan.randomness import counter_key
from hdgan.testing.painter import paint
from hdgan.testing.stains import STAINS

CENTRES = ("north", "south", "west")
SIZES = {"oracle": 960, "fit": 16, "test": 48}
"""Pairs in each set: to train the oracle, to train the segmenter without synthetic data, to test both."""


def paint_sets(
    folder: Path,
    *,
    size_px: int,
    mpp: float,
    scale: float = 1.0,
    density: float = 1.0,
    stains: Sequence[str] = tuple(STAINS),
    sizes: Mapping[str, int] = SIZES,
    seed: int = 0,
    progress: Progress = SILENT,
) -> dict[str, int]:
    """Writes the sets to `folder`, every pair of a scene and a patient of its own; the number of pairs in each.

    Raises:
        BadInput: an argument that the painter refuses.
    """
    progress.start("paint pairs", total=sum(sizes.values()))

    def pairs() -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
        for name, num in sizes.items():
            for i in range(num):
                stain, centre = stains[i % len(stains)], CENTRES[i // len(stains) % len(CENTRES)]
                scene = counter_key(seed, f"painter.{name}", i) & 0x7FFFFFFF
                painting = paint(
                    scene,
                    size_px=size_px,
                    mpp=mpp,
                    scale=scale,
                    density=density,
                    stain=stain,
                    centre=centre,
                    patient=f"{name}{i:04d}",
                )
                progress.advance()
                yield name, f"{i:04d}", painting.image, painting.mask

    note = SetsNote(mpp=mpp, tile_px=size_px, origin="painted scenes with exact masks", is_same_patient=False)
    counts = write_sets(folder, pairs(), note=note, margins=dict.fromkeys(sizes, 0), classes=KIDNEY)
    progress.finish()
    return counts
