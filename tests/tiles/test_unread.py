from __future__ import annotations

from dataclasses import replace

import pytest

from hdgan.errors import DamagedArtifact
from hdgan.plots.page import Page
from hdgan.tiles.unread import UNDECODABLE, UNREAD, Unread, read_unread, write_unread
from hdgan.tiles.unread_table import tell_unread

REGION = Unread("a", "tile", 0, 128, 64, 32, 1, "direct", UNDECODABLE, 'tile 5 "x", <y>', "fails", "openslide: no", "tile dropped")


def test_regions_survive_the_disk(tmp_path):
    regions = (REGION, replace(REGION, slide="b, c", what="blank", second="", second_said=""))
    write_unread(tmp_path / UNREAD, regions)
    assert read_unread(tmp_path / UNREAD) == regions
    write_unread(tmp_path / UNREAD, ())
    assert read_unread(tmp_path / UNREAD) == ()
    assert [region.is_damage for region in regions] == [True, False]


@pytest.mark.parametrize("text", ["slide,part\na,tile\n", "slide,part,x_px,y_px\na,tile,one,2\n"])
def test_a_damaged_list_is_refused(tmp_path, text):
    (tmp_path / UNREAD).write_text(text)
    with pytest.raises(DamagedArtifact, match="no list of regions"):
        read_unread(tmp_path / UNREAD)
    with pytest.raises(DamagedArtifact, match="no list of regions"):
        read_unread(tmp_path / "absent.csv")


def test_the_page_shows_each_region_and_counts_those_that_it_does_not_show():
    page = Page("t", "s")
    tell_unread(page, [replace(REGION, x_px=number) for number in range(25)] + [replace(REGION, slide="b")])
    text = page.html()
    assert text.count("<td>direct</td>") == 21
    assert "&lt;y&gt;" in text
    assert "fails: openslide: no" in text
    assert "Not shown: 5 of a." in text
    empty = Page("t", "s")
    tell_unread(empty, [])
    assert "not believed" not in empty.html()
