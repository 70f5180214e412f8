"""Three painted slides of two patients, and settings that cut them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdgan.tiles.config import TilesConfig
from tests.slides.painting import paint, write_slide


@pytest.fixture
def cohort(tmp_path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed, name in enumerate(("a1", "a2", "b1")):
        write_slide(folder / f"{name}.tif", paint(seed=seed))
    (folder / "slides.csv").write_text(
        "path,patient,centre,stain\na1.tif,A,Rome,PAS\na2.tif,A,Rome,HE\nb1.tif,B,Pisa,PAS\n", encoding="utf-8"
    )
    return folder


@pytest.fixture
def config() -> TilesConfig:
    return TilesConfig(slides=("slides.csv",), mpp=1.0, tile_px=32, margin=2, stride_px=32, num_folds=2, workers=0)


@pytest.fixture
def diagnosed(cohort) -> Path:
    """The same slides, with a diagnosis each."""
    (cohort / "slides.csv").write_text(
        "path,patient,centre,stain,diagnosis\na1.tif,A,Rome,PAS,IgAN\na2.tif,A,Rome,HE,IgAN\nb1.tif,B,Pisa,PAS,MN\n", encoding="utf-8"
    )
    return cohort
