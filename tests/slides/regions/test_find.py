from __future__ import annotations

from pathlib import Path

import pytest

from hdgan.errors import BadInput
from hdgan.slides.regions.find import with_regions
from hdgan.slides.table import SlideEntry, read_table


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")


def test_an_ending_finds_the_file_beside_the_slide_that_is_called_like_it(tmp_path):
    put(tmp_path / "a.x.geojson", tmp_path / "b.svs.geojson", tmp_path / "c.geojson")
    entries = [SlideEntry(name, tmp_path / f"{name}.svs") for name in ("a.x", "b", "c")]
    found = with_regions(entries, ".geojson", base=tmp_path)
    assert [entry.regions and entry.regions.name for entry in found] == ["a.x.geojson", None, "c.geojson"]
    assert with_regions(entries[1:2], ".svs.geojson", base=tmp_path)[0].regions == tmp_path / "b.svs.geojson"


def test_a_folder_finds_the_one_file_called_like_the_slide(tmp_path):
    put(tmp_path / "drawn" / "a.xml", tmp_path / "drawn" / "b.geojson.gz", tmp_path / "drawn" / "a.txt")
    entries = [SlideEntry(name, tmp_path / f"{name}.svs") for name in ("a", "b", "c")]
    for asked in ("drawn", "./drawn/", str(tmp_path / "drawn")):
        found = with_regions(entries, asked, base=tmp_path)
        assert [entry.regions and entry.regions.name for entry in found] == ["a.xml", "b.geojson.gz", None]


def test_the_table_goes_before_what_is_found(tmp_path):
    put(tmp_path / "a.geojson", tmp_path / "b.geojson")
    (tmp_path / "t.csv").write_text("path,regions\na.svs,drawn/other.xml\nb.svs,\n")
    found = with_regions(read_table(tmp_path / "t.csv"), ".geojson", base=tmp_path)
    assert [entry.regions for entry in found] == [tmp_path / "drawn/other.xml", tmp_path / "b.geojson"]


def test_a_doubt_is_refused(tmp_path):
    put(tmp_path / "drawn" / "a.xml", tmp_path / "drawn" / "a.json")
    with pytest.raises(BadInput, match=r"2 region files for a\.svs: a\.json, a\.xml"):
        with_regions([SlideEntry("a", tmp_path / "a.svs")], "drawn", base=tmp_path)
    (tmp_path / "drawn" / "a.json").unlink()
    twins = [SlideEntry(f"{folder}-a", tmp_path / folder / "a.svs") for folder in ("x", "y")]
    with pytest.raises(BadInput, match="could belong to several slides"):
        with_regions(twins, "drawn", base=tmp_path)
    with pytest.raises(BadInput, match="is no folder"):
        with_regions(twins, "nowhere", base=tmp_path)
