from __future__ import annotations

import numpy as np
import pytest

from hdgan.errors import BadInput
from hdgan.tiles.portrait import portray
from tests.slides.painting import GLASS, damage, paint, write_slide


def test_a_portrait_tells_white_point_and_shares(tmp_path):
    pixels = paint(2560, 2048)
    pixels[300:900, 300:900] = (20, 60, 170)
    pixels[1000:1400, 400:800] = 0
    found = portray(write_slide(tmp_path / "a.tif", pixels))
    assert np.abs(np.array(found.white) - GLASS).max() <= 2
    assert found.pen == pytest.approx(600 * 600 / pixels[..., 0].size, rel=0.15)  # its edges are not flat
    assert found.black == pytest.approx(400 * 400 / pixels[..., 0].size, rel=0.05)
    assert found.background == pytest.approx(1 - 0.6 * 0.8 + found.black, abs=0.02)
    assert found.unreadable == 0
    assert found.picture.shape[1] >= 480
    assert (found.picture == (30, 90, 230)).all(axis=-1).any()


def test_a_damaged_slide_is_portrayed_all_the_same_and_one_without_scale_is_refused(tmp_path):
    path = write_slide(tmp_path / "a.tif", paint(1280, 640), levels=1)
    damage(path, tile_index=1)
    assert 0 < portray(path).unreadable < 0.1
    with pytest.raises(BadInput, match="does not state its scale"):
        portray(write_slide(tmp_path / "b.tif", paint(), mpp=None))
    assert portray(tmp_path / "b.tif", mpp=0.5).background > 0.2
