from __future__ import annotations

import pytest

from hdgan.annotations.intake import collect
from hdgan.errors import BadInput
from hdgan.labels import KIDNEY

KNOWN = ("000000", "000001", "000002")


def collected(folder):
    return collect(folder, known=KNOWN, classes=KIDNEY)


def put(folder, *names):
    for name in names:
        (folder / name).touch()


def test_masks_and_outlines_are_found_by_the_names_of_their_samples(tmp_path):
    put(tmp_path, "000000.png", "000001.GEOJSON", "000002.geojson.gz", ".000001.png", "readme.txt")
    (tmp_path / "000001.png").mkdir()
    drawings = collected(tmp_path).drawings
    assert {name: path.name for name, path in drawings.items()} == {
        "000000": "000000.png",
        "000001": "000001.GEOJSON",
        "000002": "000002.geojson.gz",
    }


@pytest.mark.parametrize(
    ("files", "where", "told"),
    [
        (["000000.TIF"], "000000.TIF", "masks of type .TIF are not read; save it as PNG, 8-bit greyscale, value = class index"),
        (["000000.geojson", "000000.png"], "000000.png", "000000.geojson is of the same sample; keep one of them"),
        (["000009.png"], "000009.png", "no sample is called '000009'; they are 000000 to 000002"),
        (
            ["000001.tiff", "000009.png"],
            "000001.tiff",
            "masks of type .tiff are not read; save it as PNG, 8-bit greyscale, value = class index",
        ),
        (["000009.png", "x.jpg"], "000009.png", "no sample is called '000009'; they are 000000 to 000002"),
        ([], "", "holds no masks; put <sample name>.png or .geojson files there"),
    ],
)
def test_the_first_file_that_does_not_fit_is_told_in_one_line(tmp_path, files, where, told):
    put(tmp_path, *files)
    with pytest.raises(BadInput) as caught:
        collected(tmp_path)
    assert str(caught.value) == f"{tmp_path / where}: {told}"
