from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from hdgan.annotations.masks import check_hashes, check_labels, read_index_mask, voc_colour
from hdgan.errors import BadMask
from hdgan.labels import KIDNEY

SHAPE = (6, 8)
GOOD = np.arange(48, dtype=np.uint8).reshape(SHAPE) % 5


def read(path, shape=SHAPE):
    return read_index_mask(path, classes=KIDNEY, shape=shape)


def paletted(mask, colours, *, ignored=(0, 0, 0)):
    image = Image.fromarray(mask, mode=None).convert("L")
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    table[255] = ignored
    paletted_image = Image.new("P", image.size)
    paletted_image.putdata(mask.ravel().tolist())
    paletted_image.putpalette(table.ravel().tolist())
    return paletted_image


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, 4, 255])))
def test_an_index_mask_is_read_as_it_was_written(tmp_path, mask):
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert np.array_equal(read(tmp_path / "m.png"), mask)


@pytest.mark.parametrize("rule", ["class colours", "grey of the index", "voc"])
def test_a_palette_that_shows_its_indices_to_be_classes_is_read_by_index(tmp_path, rule):
    colours = {
        "class colours": [entry.rgb for entry in KIDNEY.classes],
        "grey of the index": [(i, i, i) for i in range(5)],
        "voc": [voc_colour(i) for i in range(5)],
    }[rule]
    paletted(GOOD, colours).save(tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
    assert np.array_equal(read(tmp_path / "m.png"), GOOD)


def test_a_palette_in_another_order_is_refused_with_the_entry(tmp_path):
    colours = [entry.rgb for entry in KIDNEY.classes]
    colours[1], colours[2] = colours[2], colours[1]
    paletted(GOOD, colours).save(tmp_path / "m.png")
    with pytest.raises(BadMask, match=r"palette entry 1 has the colour \(59, 111, 212\)"):
        read(tmp_path / "m.png")


def test_the_voc_palette_is_that_of_its_first_classes():
    assert [voc_colour(i) for i in (0, 1, 2, 3, 8, 255)] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (64, 0, 0),
        (224, 224, 192),
    ]


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("RGB", "8-bit RGB "),
        ("RGBA", "RGBA"),
        ("LA", "greyscale with transparency"),
        ("1", "1-bit greyscale"),
        ("I;16", "16-bit greyscale"),
    ],
)
def test_a_mask_of_another_kind_is_refused_by_its_kind(tmp_path, mode, told):
    image = Image.fromarray(GOOD.astype(np.uint16)) if mode == "I;16" else Image.fromarray(GOOD).convert(mode)
    image.save(tmp_path / "m.png")
    with pytest.raises(BadMask, match=told) as caught:
        read(tmp_path / "m.png")
    assert "8-bit greyscale, value = class index" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_four_bit_grey_mask_is_refused_since_decoders_scale_it(tmp_path):
    Image.fromarray(GOOD).save(tmp_path / "m.png")
    raw = bytearray((tmp_path / "m.png").read_bytes())
    raw[24] = 4
    raw[29:33] = zlib.crc32(bytes(raw[12:29])).to_bytes(4, "big")
    (tmp_path / "m.png").write_bytes(raw)
    with pytest.raises(BadMask, match="4-bit greyscale"):
        read(tmp_path / "m.png")


def test_a_mask_of_the_wrong_size_is_refused_with_both_sizes(tmp_path):
    Image.fromarray(GOOD).save(tmp_path / "m.png")
    with pytest.raises(BadMask, match="8 x 6 px, its image has 8 x 8 px"):
        read(tmp_path / "m.png", shape=(8, 8))


def test_a_mask_that_exif_turns_is_refused(tmp_path):
    image = Image.fromarray(GOOD)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "m.png", exif=exif)
    with pytest.raises(BadMask, match="EXIF"):
        read(tmp_path / "m.png")


def test_a_foreign_label_is_named_with_its_count(tmp_path):
    mask = GOOD.copy()
    mask[0, :3] = 9
    Image.fromarray(mask).save(tmp_path / "m.png")
    with pytest.raises(BadMask, match=r"m.png: foreign label 9 \(3 px\); known are 0 whitespace"):
        read(tmp_path / "m.png")


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"x" * 40])
def test_what_is_no_png_is_refused(tmp_path, content):
    (tmp_path / "m.png").write_bytes(content)
    with pytest.raises(BadMask, match="not a PNG"):
        read(tmp_path / "m.png")
    with pytest.raises(BadMask, match="cannot be read"):
        read(tmp_path / "absent.png")


def test_a_truncated_mask_is_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 5, (64, 64), dtype=np.uint8)).save(tmp_path / "m.png")
    raw = (tmp_path / "m.png").read_bytes()
    (tmp_path / "m.png").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BadMask, match=r"checksum|too early"):
        read(tmp_path / "m.png", shape=(64, 64))


def test_labels_and_hashes_that_fit_pass_and_others_are_named():
    check_labels(GOOD, KIDNEY, where="here")
    check_hashes({"000001": "abc"}, {"000001": "abc", "000002": "x"}, where="masks.json")
    with pytest.raises(BadMask, match="mask 000002 was drawn on an image with hash abc, sample 000002 has x"):
        check_hashes({"000002": "abc"}, {"000001": "abc", "000002": "x"}, where="masks.json")
