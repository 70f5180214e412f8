"""A slide painted in three blocks with rings on a plain ground: texture and colour both tell them, so tiny networks learn them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from hdgan.downstream.config import RealConfig, RealSet
from hdgan.downstream.sets import run_real
from hdgan.labels import ClassMap, LabelClass

CLASSES = ClassMap(
    (
        LabelClass("whitespace", "#f2f2f2"),
        LabelClass("tissue", "#e5a3c7"),
        LabelClass("ring", "#3b6fd4"),
        LabelClass("never", "#000000"),
    )
)
WIDTH, HEIGHT = 256, 768


def paint_slide():
    """Image `[768, 256, 3]`, regions bool `[768, 256]`: a disc in each square of 128 px, a white stripe down the right side."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    regions = np.zeros((HEIGHT, WIDTH), bool)
    for top in range(0, HEIGHT, 128):
        for left in range(0, WIDTH, 128):
            cy, cx, radius = top + rng.integers(50, 78), left + rng.integers(50, 78), rng.integers(24, 36)
            regions |= (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    image = np.empty((HEIGHT, WIDTH, 3), np.float64)
    image[:] = (205, 150, 190)
    image[regions] = (130, 70, 150)
    image += rng.normal(0, 8, image.shape)
    image[:, 240:] = 245
    regions[:, 240:] = False
    return np.clip(image, 0, 255).astype(np.uint8), regions


@pytest.fixture(scope="session")
def slide(tmp_path_factory):
    """Folder with `slide.png` and its regions as `rings.png` and `rings.geojson`."""
    folder = tmp_path_factory.mktemp("slide")
    image, regions = paint_slide()
    Image.fromarray(image).save(folder / "slide.png")
    Image.fromarray(regions.astype(np.uint8)).save(folder / "rings.png")
    square = [[16, 16], [80, 16], [80, 80], [16, 80], [16, 16]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square]}, "properties": {}}
    (folder / "square.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return folder


@pytest.fixture(scope="session")
def real_config():
    return RealConfig(
        tile_px=32,
        mpp=2.0,
        background="tissue",
        sets={
            "oracle": RealSet(rows=((0, 256),), stride_px=16, margin_px=8),
            "fit": RealSet(rows=((256, 512),)),
            "test": RealSet(rows=((512, 768),)),
        },
    )


@pytest.fixture(scope="session")
def real_folder(slide, real_config, tmp_path_factory):
    out = tmp_path_factory.mktemp("real") / "real"
    run_real(real_config, slide=slide / "slide.png", regions={"ring": slide / "rings.png"}, classes=CLASSES, out=out, slide_mpp=1.0)
    return out
