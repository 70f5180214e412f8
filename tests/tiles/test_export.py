from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from hdgan.errors import BadInput
from hdgan.store.archive import TileArchive, TileRow, write_archive
from hdgan.store.atomic import encode_png
from hdgan.store.stylegan_zip import ImageZip
from hdgan.tiles.export import export_stylegan


def tile(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (48, 48, 3), dtype=np.uint8)


@pytest.fixture
def archive(tmp_path):
    stains = ("PAS", "HE", "PAS", "HE")
    rows = [TileRow(f"{i}.png", "s", f"p{i}", "c", stains[i], i % 3, 0, 0, 48, 48, 0.5, 0.1) for i in range(4)]
    write_archive(tmp_path / "tiles", [(row, encode_png(tile(i))) for i, row in enumerate(rows)])
    return TileArchive(tmp_path / "tiles")


def images(path):
    archive = ImageZip(path)
    return [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.members if name.endswith(".png")]


def test_the_middle_of_a_tile_is_shrunk_by_area(archive, tmp_path):
    assert export_stylegan(archive, tmp_path / "a.zip", size_px=16, tile_px=32, folds={0, 2}, label="stain") == 3
    found = images(tmp_path / "a.zip")
    for pixels, i in zip(found, (0, 2, 3), strict=True):
        blocks = tile(i)[8:40, 8:40].reshape(16, 2, 16, 2, 3).astype(int).sum(axis=(1, 3))
        assert np.array_equal(pixels, (blocks + 2) // 4)
    told = json.loads(ImageZip(tmp_path / "a.zip").read("dataset.json"))
    assert [number for _, number in told["labels"]] == [1, 1, 0]
    assert told["label_names"] == ["HE", "PAS"]
    assert told["mpp"] == 1.0


def test_native_images_are_squares_of_the_tile_at_its_scale(archive, tmp_path):
    assert export_stylegan(archive, tmp_path / "a.zip", size_px=16, tile_px=40, is_native=True) == 4 * 4
    found = images(tmp_path / "a.zip")
    assert np.array_equal(found[1], tile(0)[4:20, 20:36])
    assert json.loads(ImageZip(tmp_path / "a.zip").read("dataset.json"))["mpp"] == 0.5


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"size_px": 24}, "powers of two"),
        ({"size_px": 64}, "fewer than the 64 asked for; ask for less: nothing is enlarged"),
        ({"folds": {0, 7}}, "no tile is in fold 7"),
    ],
)
def test_what_cannot_be_exported_is_refused(archive, tmp_path, settings, why):
    with pytest.raises(BadInput, match=why):
        export_stylegan(archive, tmp_path / "a.zip", **{"size_px": 16, "tile_px": 48} | settings)
    assert not (tmp_path / "a.zip").exists()
