from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from hdgan.errors import BadInput
from hdgan.store.stylegan_zip import ImageZip, write_stylegan_zip


def pictures(num: int):
    return [np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(num)]


def test_the_layout_is_that_of_stylegans_tools(tmp_path):
    images = pictures(1002)
    assert write_stylegan_zip(tmp_path / "a.zip", ((image, i % 2) for i, image in enumerate(images)), label_names=["HE", "PAS"]) == 1002
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        assert [names[0], names[999], names[1000], names[-1]] == [
            "00000/img00000000.png", "00000/img00000999.png", "00001/img00001000.png", "dataset.json",
        ]  # fmt: skip
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        told = json.loads(archive.read("dataset.json"))
        assert told["labels"][1001] == ["00001/img00001001.png", 1]
        with Image.open(io.BytesIO(archive.read(names[1000]))) as image:
            assert image.mode == "RGB"
            assert np.array_equal(np.asarray(image), images[1000])
    read = ImageZip(tmp_path / "a.zip")
    assert read.labels()["00001/img00001001.png"] == "PAS"
    assert len(read.members) == 1003


def test_without_labels_there_is_a_null_and_equal_images_give_equal_bytes(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_stylegan_zip(tmp_path / name, ((image, None) for image in pictures(3)), about={"mpp": 0.5})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    read = ImageZip(tmp_path / "a.zip")
    assert json.loads(read.read("dataset.json")) == {"labels": None, "mpp": 0.5}
    assert read.labels() == {}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([["a", 3]], {"a": "3"}), ([["a", [0, 0, 1]], ["b", [1, 0, 0]]], {"a": "2", "b": "0"}), (None, {})],
)
def test_labels_of_others_are_numbers_or_one_hot(tmp_path, labels, expected):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    assert ImageZip(tmp_path / "a.zip").labels() == expected


@pytest.mark.parametrize("text", ["[]", "{}", "no", '{"labels": [["a", [0.5, 0.5]]]}', '{"labels": [["a", -1]]}', '{"labels": [["a"]]}'])
def test_labels_of_another_kind_are_refused(tmp_path, text):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("dataset.json", text)
    with pytest.raises(BadInput, match=r"dataset\.json: is no list of labels"):
        ImageZip(tmp_path / "a.zip").labels()


def test_what_is_no_zip_or_is_damaged_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no")
    with pytest.raises(BadInput, match="cannot be read as a ZIP"):
        ImageZip(tmp_path / "a.zip")
    write_stylegan_zip(tmp_path / "b.zip", [(pictures(1)[0], None)])
    data = bytearray((tmp_path / "b.zip").read_bytes())
    data[80] ^= 255
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(BadInput, match=r"img00000000\.png: cannot be read"):
        ImageZip(tmp_path / "b.zip").read("00000/img00000000.png")
    with pytest.raises(BadInput, match=r"absent\.png: cannot be read"):
        ImageZip(tmp_path / "b.zip").read("absent.png")
