from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest

from hdgan.annotations.geojson import read_geojson
from hdgan.annotations.regions import ClassNames
from hdgan.annotations.regions import paint as fill_regions
from hdgan.errors import BadInput
from hdgan.labels import KIDNEY, read_class_map
from hdgan.slides.table import read_table
from hdgan.store.atomic import read_mask
from hdgan.store.hashing import hash_file
from hdgan.testing.cohort import halved, paint_cohort, paint_pairs
from hdgan.testing.painter import paint


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    paint_cohort(folder, num_patients=4, slides_per_patient=1, size_px=(600, 540), mpp=2.0, scale=0.8, seed=3)
    return folder


def test_openslide_reads_scale_levels_and_pixels(cohort: Path) -> None:
    slide = openslide.OpenSlide(cohort / "slides" / "p01-0-pas.tif")
    assert slide.properties[openslide.PROPERTY_NAME_VENDOR] == "generic-tiff"
    assert float(slide.properties[openslide.PROPERTY_NAME_MPP_X]) == pytest.approx(2.0, rel=1e-6)
    assert float(slide.properties[openslide.PROPERTY_NAME_MPP_Y]) == pytest.approx(2.0, rel=1e-6)
    assert slide.level_dimensions == ((540, 600), (270, 300), (135, 150))
    level0 = np.asarray(slide.read_region((0, 0), 0, (540, 600)).convert("RGB"))
    level1 = np.asarray(slide.read_region((0, 0), 1, (270, 300)).convert("RGB"))
    assert np.array_equal(level1, halved(level0))
    mask = read_mask(cohort / "masks" / "p01-0-pas.png")
    assert mask.shape == (600, 540)
    assert np.median(level0[mask == 0]) > 230
    assert level0[mask != 0].mean() < 200


def test_the_table_names_every_slide_with_patient_centre_and_stain(cohort: Path) -> None:
    entries = read_table(cohort / "slides.csv")
    assert [(e.name, e.patient, e.centre, e.stain, e.mpp) for e in entries] == [
        ("p00-0-he", "p00", "north", "he", 2.0),
        ("p01-0-pas", "p01", "south", "pas", 2.0),
        ("p02-0-jones", "p02", "east", "jones", 2.0),
        ("p03-0-pas", "p03", "north", "pas", 2.0),
    ]
    assert all(e.path.is_file() for e in entries)
    assert read_class_map(cohort / "classes.json") == KIDNEY


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    written = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        paint_cohort(tmp_path / name, num_patients=2, size_px=100, mpp=4.0, seed=seed)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        written.append({p.relative_to(tmp_path / name).as_posix(): hash_file(p) for p in files})
    assert written[0] == written[1]
    assert len(written[0]) == 2 * 3 + 2
    assert written[0]["slides/p00-0-he.tif"] != written[2]["slides/p00-0-he.tif"]


def test_the_polygons_are_the_mask(cohort: Path) -> None:
    regions = read_geojson(cohort / "masks" / "p00-0-he.geojson")
    assert np.array_equal(fill_regions(regions, ClassNames(KIDNEY), shape=(600, 540)), read_mask(cohort / "masks" / "p00-0-he.png"))


def test_every_centre_uses_several_stains(tmp_path: Path) -> None:
    slides = paint_cohort(tmp_path, num_patients=12, size_px=16, mpp=8.0)
    for centre in ("north", "south", "east"):
        assert len({s.stain for s in slides if s.centre == centre}) >= 3


def test_nothing_to_paint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least one"):
        paint_cohort(tmp_path, num_patients=0, size_px=16)
    assert list(tmp_path.iterdir()) == []


def test_painted_pairs_are_a_folder_of_pairs(tmp_path: Path) -> None:
    pairs = paint_pairs(tmp_path, num=6, size_px=48, mpp=4.0, scale=0.7, stains=("pas", "he"), seed=1)
    assert pairs.stems == ("0000-north-pas", "0001-south-pas", "0002-east-pas", "0003-north-he", "0004-south-he", "0005-east-he")
    assert pairs.classes == KIDNEY
    assert len({pairs.image(stem).tobytes() for stem in pairs.stems}) == 6
    assert {pairs.mask(stem).shape for stem in pairs.stems} == {(48, 48)}
    with pytest.raises(BadInput, match="at least one"):
        paint_pairs(tmp_path, num=0, size_px=16)


def test_halving_takes_means_and_leaves_an_odd_edge_out() -> None:
    image = paint(0, size_px=(7, 5), mpp=2.0).image
    small = halved(image)
    assert small.shape == (3, 2, 3)
    assert np.abs(small[0, 0] - image[:2, :2].mean(axis=(0, 1))).max() <= 0.5
