from __future__ import annotations

import errno
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from PIL import Image

from hdgan.errors import BadInput, BadMask, OutOfSpace
from hdgan.store import atomic

IMAGES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9).map(lambda s: (*s, 3)))


@given(IMAGES)
@settings(max_examples=30)
def test_an_image_is_read_as_it_was_written(tmp_path_factory, image):
    path = tmp_path_factory.mktemp("png") / "image.png"
    atomic.write_png(path, image)
    assert np.array_equal(atomic.read_image(path), image)
    assert path.read_bytes() == atomic.encode_png(image.copy())


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old")
    with pytest.raises(RuntimeError, match="half-way"), atomic.replacing(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_line_and_nothing_is_left(tmp_path):
    with pytest.raises(OutOfSpace, match="no space left"), atomic.replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_file_over_the_limit_of_the_process_is_a_full_disk(tmp_path):
    code = f"""
import resource, signal, sys
from pathlib import Path
from hdgan.errors import OutOfSpace
from hdgan.store.atomic import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(Path({str(tmp_path / "a")!r}), bytes(5000))
except OutOfSpace:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from hdgan.store.atomic import write_bytes
path, n = Path(sys.argv[1]), 0
while True:
    n += 1
    write_bytes(path, n.to_bytes(4, "big") * 300_000)
"""


@pytest.mark.parametrize("after", [0.01, 0.03, 0.05, 0.11])
def test_a_writer_killed_at_any_time_leaves_a_whole_file(tmp_path, after):
    path = tmp_path / "data"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(after)
    process.kill()
    assert process.wait() == -9
    data = path.read_bytes()
    assert len(data) == 1_200_000
    assert data == data[:4] * 300_000
    atomic.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_masks_that_decoding_would_change_are_refused(tmp_path):
    Image.fromarray(np.array([[1, 300]], dtype=np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGB", (2, 1)).save(tmp_path / "colour.png")
    for name in ("deep.png", "colour.png", "absent.png"):
        with pytest.raises(BadMask, match=name):
            atomic.read_mask(tmp_path / name)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_grey_mask_of_few_bits_is_refused_because_decoding_scales_its_labels(tmp_path, bits):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8 // bits, 1, bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes([0, 0b01]))) + chunk(b"IEND", b"")
    (tmp_path / "few.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with Image.open(tmp_path / "few.png") as image:
        assert np.array(image).max() == 255 // (2**bits - 1)  # label 1 as Pillow gives it
    with pytest.raises(BadMask, match=f"L;{bits}"):
        atomic.read_mask(tmp_path / "few.png")


def test_masks_are_read_from_png_and_tiff_but_not_from_jpeg_or_inverted_grey(tmp_path):
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for name in ("m.png", "m.tif", "m.bmp"):
        Image.fromarray(mask).save(tmp_path / name)
        assert np.array_equal(atomic.read_mask(tmp_path / name), mask), name
    Image.fromarray(mask > 9).save(tmp_path / "bits.png")
    assert np.array_equal(atomic.read_mask(tmp_path / "bits.png"), mask > 9)
    Image.fromarray(mask).save(tmp_path / "m.jpg")
    Image.fromarray(mask).save(tmp_path / "inverted.tif", tiffinfo={262: 0})
    for name in ("m.jpg", "inverted.tif"):
        with pytest.raises(BadMask, match="changes labels"):
            atomic.read_mask(tmp_path / name)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged tags
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "x.bmp"])
def test_damaged_images_are_read_or_refused_but_nothing_else(tmp_path, name):
    draw = np.random.default_rng(3)
    Image.fromarray(draw.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(tmp_path / name)
    whole, refused = (tmp_path / name).read_bytes(), 0
    for _ in range(200):
        data = bytearray(whole)
        place = int(draw.integers(120)) if draw.random() < 0.6 else int(draw.integers(len(data)))
        data[place] ^= 1 << int(draw.integers(8))
        (tmp_path / name).write_bytes(bytes(data[: int(draw.integers(len(data)))] if draw.random() < 0.2 else data))
        try:
            assert atomic.read_image(tmp_path / name).dtype == np.uint8
        except BadInput:
            refused += 1
    assert refused > 20


def test_a_nested_temporary_takes_its_writers_leftovers_with_it(tmp_path):
    with atomic.replacing(tmp_path / "a", is_nested=True) as temporary:
        (temporary.parent / ".tmpXYZ").write_text("of the writer")
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    (tmp_path / ".partial-1-b").mkdir()
    (tmp_path / ".partial-1-b" / ".tmpXYZ").write_text("of a killed writer")
    atomic.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_palette_mask_is_read_as_indices(tmp_path):
    image = Image.fromarray(np.array([[1, 4]], dtype=np.uint8), mode=None).convert("P")
    image.putpalette([9, 200, 30] * 256)
    image.save(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as stored:
        assert stored.mode == "P"
        expected = np.array(stored)
    assert np.array_equal(atomic.read_mask(tmp_path / "p.png"), expected)


def test_json_is_stable_and_never_holds_what_is_not_finite(tmp_path):
    atomic.write_json(tmp_path / "a", {"b": 1, "a": [1.5]})
    atomic.write_json(tmp_path / "b", {"a": [1.5], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "c", {"x": float("nan")})
    assert not (tmp_path / "c").exists()
    (tmp_path / "d").write_text("[" * 100_000)
    with pytest.raises(BadInput, match="JSON"):
        atomic.read_json(tmp_path / "d")


def test_broken_images_are_refused_by_name(tmp_path):
    path = Path(tmp_path / "cut.png")
    atomic.write_png(path, np.zeros((40, 40, 3), dtype=np.uint8) + 7)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(BadInput, match=r"cut\.png"):
        atomic.read_image(path)


def test_a_scratch_folder_lies_beside_what_will_be_written_and_is_gone_afterwards(tmp_path):
    wanted = tmp_path / "not" / "yet" / "there"
    with pytest.raises(KeyError), atomic.scratch(wanted) as folder:
        assert folder.parent == tmp_path
        (folder / "a").write_text("x")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()
    (folder / "of a killed process").write_text("x")
    with atomic.scratch(wanted) as folder:
        assert list(folder.iterdir()) == []
