from __future__ import annotations

import errno
import subprocess
import sys
import time
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
@settings(max_examples=30, deadline=None)
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
