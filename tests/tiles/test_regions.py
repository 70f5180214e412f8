"""Outlined regions through the whole stage: painted slides whose objects are known."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from hdgan.errors import BadInput, StaleStage
from hdgan.progress import Silent
from hdgan.slides.pseudonyms import open_key
from hdgan.store.archive import TileArchive
from hdgan.store.stage import read_manifest, verify
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.hits import read_hits
from hdgan.tiles.parts import read_cells
from hdgan.tiles.placement_config import PlacementConfig
from hdgan.tiles.plan import estimate, plan_slides
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.shards import Shard, cut_shard
from hdgan.tiles.stage import run_tiles
from hdgan.tiles.what_if import what_if
from tests.slides.outlining import circle, square, write_qupath
from tests.slides.painting import paint, write_coded, write_slide
from tests.slides.scn_painting import write_scn
from tests.tiles.test_stage import outputs

DATA = os.environ.get("HDGAN_DATA")
ROUND = {"a1": [(200, 150, 24), (330, 300, 30)], "a2": [(180, 200, 20)], "b1": [(300, 250, 28)]}
"""x, y and radius of the objects on each slide, level-0 px (0.5 um/px)."""


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def outlined(cohort) -> Path:
    for name, objects in ROUND.items():
        drawn = [("glomerulus", circle(*found)) for found in objects]
        write_qupath(cohort / f"{name}.geojson", [*drawn, ("artery", square(100, 380, 16))])
    return cohort


def asked(config, way, **placement):
    section = PlacementConfig(way=way, **placement)
    return TilesConfig.model_validate({**config.model_dump(), "regions": ".geojson", "placement": section.model_dump()})


def run(config, base, out, **settings):
    return run_tiles(config, out=out, seed=0, base=base, **settings)


def test_on_a_grid_regions_move_no_tile_and_every_cell_says_what_it_holds(tmp_path, outlined, config):
    plain = run(config, outlined, tmp_path / "plain")
    manifest = run(asked(config, "grid"), outlined, tmp_path / "out")
    assert manifest.outputs["tiles.csv"] == plain.outputs["tiles.csv"]
    assert manifest.outputs["cells.csv"] == plain.outputs["cells.csv"]
    assert set(manifest.outputs) - set(plain.outputs) == {"regions.csv"}
    assert verify(tmp_path / "out") == []
    assert manifest.counts["regions"] == {"slides": 3, "objects": {"artery": 3, "glomerulus": 4}}
    hits = {(hit.slide, hit.x_px, hit.y_px, hit.class_name): hit for hit in read_hits(tmp_path / "out" / "regions.csv")}
    for cell in read_cells(tmp_path / "out" / "cells.csv"):
        box = shapely.box(cell.x_px, cell.y_px, cell.x_px + cell.level0_px, cell.y_px + cell.level0_px)
        rounds = [shapely.Polygon(circle(*found)).intersection(box) for found in ROUND[cell.slide]]
        hit = hits.get((cell.slide, cell.x_px, cell.y_px, "glomerulus"))
        area = sum(part.area for part in rounds) * 0.25
        assert (hit.area_um2 if hit else 0) == pytest.approx(area, abs=0.01)
        assert (hit.objects if hit else 0) == sum(part.area > 0 for part in rounds)


@pytest.mark.parametrize("scale", [{}, {"mpp": None, "level": 0}], ids=["mpp", "level"])
def test_workers_and_shares_give_the_bytes_of_one_process(tmp_path, outlined, config, scale):
    wanted = asked(config, "centred", classes=("glomerulus",), jitter_um=6, tiles_per_object=2)
    wanted = TilesConfig.model_validate({**wanted.model_dump(by_alias=True), **scale})
    run(wanted, outlined, tmp_path / "one")
    run(wanted.model_copy(update={"workers": 2}), outlined, tmp_path / "two")
    for number in (2, 1):
        cut_shard(wanted, Shard(number, 2), out=tmp_path / "parts", seed=0, base=outlined)
    cut_before = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts" / "parts").rglob("status.json")}
    assert len(cut_before) == 3
    run(wanted, outlined, tmp_path / "parts")
    assert outputs(tmp_path / "one") == outputs(tmp_path / "two") == outputs(tmp_path / "parts")


def test_cells_of_the_grid_that_hold_enough_of_a_class_are_cut_and_no_others(tmp_path, outlined, config):
    every = {(row.slide, row.x_px, row.y_px) for row in plan_rows(config, outlined)}
    found = asked(config, "intersecting", classes=("glomerulus",), min_area_um2=300)
    manifest = run(found, outlined, tmp_path / "out")
    cells = read_cells(tmp_path / "out" / "cells.csv")
    assert {(cell.slide, cell.x_px, cell.y_px) for cell in cells} < every
    hits = read_hits(tmp_path / "out" / "regions.csv")
    enough = {(hit.slide, hit.x_px, hit.y_px) for hit in hits if hit.class_name == "glomerulus" and hit.area_um2 >= 300}
    assert {(cell.slide, cell.x_px, cell.y_px) for cell in cells} == enough
    assert manifest.counts["cells"] == len(enough) > 10


def plan_rows(config, base):
    plans, _ = plan_slides(config, base=base)
    for plan in plans:
        for x, y in plan.cells:
            yield type("Row", (), {"slide": plan.entry.name, "x_px": x, "y_px": y})


def test_a_tile_lies_around_each_object_and_is_the_slide_there(tmp_path, outlined, config):
    run(asked(config, "centred", classes=("glomerulus",)), outlined, tmp_path / "out")
    archive = TileArchive(tmp_path / "out")
    assert {(row.slide, row.x_px + 64, row.y_px + 64) for row in archive.rows} == {(s, x, y) for s in ROUND for x, y, _ in ROUND[s]}
    assert archive.rows[0].slide == "a1"
    pixels = paint(seed=0)[150 - 64 : 150 + 64, 200 - 64 : 200 + 64].astype(np.uint16)
    halved = (pixels.reshape(64, 2, 64, 2, 3).sum(axis=(1, 3)) + 2) // 4
    assert np.array_equal(archive.read(0), halved)


def test_equal_runs_give_equal_bytes_and_a_new_slide_or_object_moves_no_tile(tmp_path, outlined, config):
    found = asked(config, "centred", classes=("glomerulus",), jitter_um=10, tiles_per_object=3)
    run(found, outlined, tmp_path / "one")
    run(found, outlined, tmp_path / "two")
    assert outputs(tmp_path / "one") == outputs(tmp_path / "two")
    before = {row.name for row in TileArchive(tmp_path / "one").rows}
    write_slide(outlined / "c1.tif", paint(seed=5))
    write_qupath(outlined / "c1.geojson", [("glomerulus", circle(300, 250, 20))])
    write_qupath(outlined / "b1.geojson", [("glomerulus", circle(150, 300, 20)), ("glomerulus", circle(*ROUND["b1"][0]))])
    with (outlined / "slides.csv").open("a") as table:
        table.write("c1.tif,C,Pisa,HE\n")
    run(found, outlined, tmp_path / "three")
    after = {row.name for row in TileArchive(tmp_path / "three").rows}
    assert before < after
    assert len(after) == len(before) + 6


def test_an_edited_region_file_makes_the_stage_stale_also_on_a_grid(tmp_path, outlined, config):
    found = asked(config, "grid")
    first = run(found, outlined, tmp_path / "out")
    assert run(found, outlined, tmp_path / "out") == first
    write_qupath(outlined / "a2.geojson", [("glomerulus", circle(180, 200, 21))])
    with pytest.raises(StaleStage, match=r"inputs\.regions a2"):
        run(found, outlined, tmp_path / "out")
    for path in outlined.glob("*.geojson"):
        path.unlink()
    run(config, outlined, tmp_path / "out", redo=True)
    assert not (tmp_path / "out" / "regions.csv").exists()


def test_a_run_without_regions_records_what_it_recorded_before_they_existed(tmp_path, cohort, config):
    recorded = config.recorded()
    assert not {"placement", "regions", "magnification", "level", "asked_mpp"} & recorded.keys()
    assert recorded["mpp"] == 1.0
    manifest = run(config, cohort, tmp_path / "out")
    assert not any(name.startswith("regions") for name in (*manifest.inputs, *manifest.outputs, *manifest.counts))


def test_a_slide_without_a_region_file_is_told_and_gives_nothing_or_its_grid(tmp_path, outlined, config):
    (outlined / "b1.geojson").unlink()
    notes = Notes()
    manifest = run(asked(config, "centred"), outlined, tmp_path / "out", progress=notes)
    assert {row.slide for row in TileArchive(tmp_path / "out").rows} == {"a1", "a2"}
    line = "b1: has no region file: it gives no tile"
    assert line in notes.lines
    assert line in manifest.counts["warnings"]
    assert "has no region file" in (tmp_path / "out" / "report.html").read_text()
    (plan,) = (plan for plan in plan_slides(asked(config, "centred", without_regions="grid"), base=outlined)[0] if plan.entry.name == "b1")
    assert plan.cells == tuple((row.x_px, row.y_px) for row in plan_rows(config, outlined) if row.slide == "b1")


def test_a_region_file_that_serves_two_slides_is_told(tmp_path, outlined, config):
    (outlined / "slides.csv").write_text("path,patient,regions\na1.tif,A,a1.geojson\na2.tif,A,a1.geojson\nb1.tif,B,b1.geojson\n")
    notes = Notes()
    settings = TilesConfig.model_validate({**config.model_dump(), "placement": {"way": "centred"}})
    manifest = run(settings, outlined, tmp_path / "out", progress=notes)
    line = "a2: regions: its file is that of a1, too, byte for byte: is it of this slide?"
    assert [said for said in notes.lines if "byte for byte" in said] == [line]
    assert line in manifest.counts["warnings"]
    assert "byte for byte" in (tmp_path / "out" / "report.html").read_text()


def test_objects_and_the_grid_give_the_tiles_of_both_each_once_row_by_row(tmp_path, outlined, config):
    (outlined / "b1.geojson").unlink()
    grid = {(row.slide, row.x_px, row.y_px) for row in plan_rows(config, outlined)}
    around = {(row.slide, row.x_px, row.y_px) for row in plan_rows(asked(config, "centred", classes=("glomerulus",)), outlined)}
    both = asked(config, "centred", classes=("glomerulus",), and_grid=True)
    found = [(row.slide, row.x_px, row.y_px) for row in plan_rows(both, outlined)]
    assert len(around) == 3
    assert sorted(found) == sorted(grid | around)
    assert found == sorted(found, key=lambda cell: (cell[0], cell[2], cell[1]))
    notes = Notes()
    run(both, outlined, tmp_path / "out", progress=notes)
    assert "b1: has no region file: tiles lie on all of the grid" in notes.lines
    assert "around each outlined object of glomerulus, and on a grid" in (tmp_path / "out" / "report.html").read_text()


def test_a_grid_does_not_hide_that_no_object_is_of_the_class_asked_for(tmp_path, outlined, config):
    with pytest.raises(BadInput, match=r"no outlined region is of a class asked for; found are artery, glomerulus"):
        run(asked(config, "centred", classes=("nephron",), and_grid=True), outlined, tmp_path / "out")
    with pytest.raises(BadInput, match="no outlined region is large enough"):
        run(asked(config, "centred", min_area_um2=1e6, and_grid=True), outlined, tmp_path / "out")


def test_a_number_of_tiles_for_a_class_that_nothing_is_of_is_refused(tmp_path, outlined, config):
    with pytest.raises(BadInput, match=r"no outlined region is of class 'glomerolus'; found are artery, glomerulus"):
        run(asked(config, "centred", jitter_um=6, tiles_per_object_of={"glomerolus": 3}), outlined, tmp_path / "out")


def test_stages_with_regions_of_before_the_grid_could_be_added_stay_current(config):
    assert "and_grid" not in asked(config, "centred").recorded()["placement"]
    assert asked(config, "centred", and_grid=True).recorded()["placement"]["and_grid"]
    assert "tiles_per_object_of" not in asked(config, "centred").recorded()["placement"]
    assert asked(config, "centred", jitter_um=8, tiles_per_object_of={"a": 3}).recorded()["placement"]["tiles_per_object_of"] == {"a": 3}


@pytest.mark.parametrize(
    ("placement", "told"),
    [
        ({"classes": ("nephron",)}, r"no outlined region is of a class asked for; found are artery, glomerulus; change placement\.classes"),
        ({"min_area_um2": 1e6}, "no outlined region is large enough"),
    ],
)
def test_regions_that_place_no_tile_are_refused_with_the_reason(tmp_path, outlined, config, placement, told):
    for way in ("intersecting", "centred"):
        with pytest.raises(BadInput, match=told):
            run(asked(config, way, **placement), outlined, tmp_path / "out")


def test_without_any_region_file_the_way_is_refused(tmp_path, cohort, config):
    with pytest.raises(BadInput, match=r"no slide has a region file, and placement\.way is \"centred\""):
        run(asked(config, "centred"), cohort, tmp_path / "out")


def test_a_region_file_of_another_slide_costs_its_slide_as_any_other_fault(tmp_path, outlined, config):
    write_qupath(outlined / "a2.geojson", [("glomerulus", circle(9000, 200, 20))])
    found = asked(config, "centred")
    with pytest.raises(BadInput, match=r"a2\.geojson: outline 1 spans x 8980"):
        run(found, outlined, tmp_path / "out")
    manifest = run(found.model_copy(update={"broken_slides": "skip"}), outlined, tmp_path / "out")
    assert (manifest.counts["slides"], manifest.counts["skipped_slides"]) == (2, 1)


def test_the_slide_table_names_region_files(tmp_path, outlined, config):
    (outlined / "b1.geojson").rename(outlined / "other.json")
    (outlined / "slides.csv").write_text("path,patient,regions\na1.tif,A,a1.geojson\nb1.tif,B,other.json\n")
    placed = config.model_copy(update={"placement": PlacementConfig(way="centred", classes=("glomerulus",))})
    run(placed, outlined, tmp_path / "out")
    assert len(TileArchive(tmp_path / "out")) == 3
    assert estimate(placed, base=outlined).num_cells == 3


def test_what_if_counts_the_tiles_of_each_class(tmp_path, outlined, config):
    run(asked(config, "grid"), outlined, tmp_path / "out")
    hits, cells = read_hits(tmp_path / "out" / "regions.csv"), read_cells(tmp_path / "out" / "cells.csv")
    found = {row.value: row for row in what_if(tmp_path / "out", (0.0, 0.5, 1.0)) if row.group == "class"}
    assert list(found) == ["artery", "glomerulus"]
    places = {(hit.slide, hit.x_px, hit.y_px) for hit in hits if hit.class_name == "artery"}
    held = [cell for cell in cells if (cell.slide, cell.x_px, cell.y_px) in places]
    assert found["artery"].num_cells == len(held)
    assert found["artery"].num_kept == tuple(sum(cell.background <= limit for cell in held) for limit in (0.0, 0.5, 1.0))


def test_the_report_draws_outlines_and_counts_classes(tmp_path, outlined, config):
    run(config, outlined, tmp_path / "plain")
    run(asked(config, "grid"), outlined, tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    for part in ("Outlined regions", "outlined: glomerulus", "outlined: artery", "regions.csv", "draw the cells and outlines"):
        assert part in text
        assert part not in (tmp_path / "plain" / "report.html").read_text()
    with Image.open(tmp_path / "out" / "report" / "b1.cells.png") as image:
        overlay = np.asarray(image)
    scale = overlay.shape[1] / 640
    x, y, radius = ROUND["b1"][0]
    reds = overlay[round(y * scale), round((x - radius) * scale) - 1 : round((x - radius) * scale) + 2]
    assert any(tuple(pixel) == (225, 0, 145, 255) for pixel in reds)


def test_tiles_around_objects_can_be_stored_again_and_read_from_the_slides(tmp_path, outlined, config):
    found = asked(config, "centred", jitter_um=8, tiles_per_object=2)
    run(found, outlined, tmp_path / "out")
    before = outputs(tmp_path / "out")
    (tmp_path / "out" / "tiles.zip").unlink()
    rebuild_tiles(found, out=tmp_path / "out", seed=0, base=outlined)
    assert {name: data for name, data in outputs(tmp_path / "out").items() if name != "manifest.json"} == {
        name: data for name, data in before.items() if name != "manifest.json"
    }
    assert verify(tmp_path / "out") == []


def test_copies_around_objects_lie_on_the_grid_of_the_slides_jpeg_tiles(tmp_path):
    path = write_coded(tmp_path / "s.svs", paint(1024, 768), codec="jpeg 4:2:0", tile=(32, 32), is_aperio=True)
    write_qupath(path.with_suffix(".geojson"), [("a", circle(300, 301, 9)), ("a", circle(302, 299, 9)), ("a", circle(5, 760, 4))])
    config = TilesConfig(
        slides=("s.svs",), mpp=0.25, tile_px=128, format="raw", regions=".geojson", placement=PlacementConfig(way="centred")
    )
    (plan,), problems = plan_slides(config, base=tmp_path)
    assert problems == ()
    assert plan.cells == ((224, 224), (0, 640))
    run(config, tmp_path, tmp_path / "out")
    assert (TileArchive(tmp_path / "out").rows[0].x_px, TileArchive(tmp_path / "out").rows[0].y_px) == (224, 224)


def test_under_pseudonyms_no_artifact_or_message_names_a_region_file(tmp_path, outlined, config):
    drawn = outlined / "drawn"
    drawn.mkdir()
    for name in ROUND:
        (outlined / f"{name}.tif").rename(outlined / f"CANARY{name}.tif")
        (outlined / f"{name}.geojson").rename(drawn / f"CANARY{name}.geojson")
    (outlined / "slides.csv").write_text("path,patient\n" + "".join(f"CANARY{name}.tif,DOE{name}\n" for name in ROUND))
    bow_tie = [[100, 100], [200, 200], [200, 100], [100, 200]]
    write_qupath(drawn / "CANARYb1.geojson", [("glomerulus", bow_tie)])
    settings = {"regions": "drawn", "pseudonym_key": tmp_path / "key", "placement": PlacementConfig(way="centred")}
    found, notes = config.model_copy(update=settings), Notes()
    run(found, outlined, tmp_path / "run" / "1-tiles", progress=notes)
    told = "\n".join(notes.lines).encode() + b"".join(outputs(tmp_path / "run" / "1-tiles").values())
    assert b"repaired" in told
    (drawn / "CANARYb1.geojson").write_text("{}")
    with pytest.raises(BadInput, match="neither a FeatureCollection") as caught:
        run(found, outlined, tmp_path / "run" / "2")
    assert b"CANARY" not in told + str(caught.value).encode()


def test_under_pseudonyms_only_classes_that_the_settings_name_keep_their_names(tmp_path, outlined, config):
    classes = ("glomerulus", "Glomerulus: Zebedee", "Zebedee area", "tubule: old", "Ignore Zebedee*")
    for number, name in enumerate(ROUND):
        drawn = [(kind, circle(80 + 90 * place, 150 + 60 * number, 24)) for place, kind in enumerate(classes)]
        write_qupath(outlined / f"{name}.geojson", drawn)
    given = {"pseudonym_key": tmp_path / "key", "region_classes_shown": ("Tubule: old",)}
    wanted = asked(config, "intersecting", not_classes=("glomerulus",)).model_copy(update=given)
    open_wanted = asked(config, "intersecting", not_classes=("glomerulus",))
    notes = Notes()
    manifest = run(wanted, outlined, tmp_path / "run" / "1-tiles", progress=notes)
    run(open_wanted, outlined, tmp_path / "plain")
    told = "\n".join(notes.lines).encode() + b"".join(outputs(tmp_path / "run" / "1-tiles").values())
    assert b"zebedee" not in told.lower()
    assert b"Zebedee" in b"".join(outputs(tmp_path / "plain").values())
    key = open_key(tmp_path / "key")
    marks = {name: key.region_class(name, shown=("tubule: old", "glomerulus")) for name in classes}
    assert manifest.counts["regions"]["objects"] == dict.fromkeys(sorted(marks.values()), 3)
    assert marks["glomerulus"] == "glomerulus"
    assert re.fullmatch("Glomerulus: c-[0-9a-f]{12}", marks["Glomerulus: Zebedee"])
    assert re.fullmatch("c-[0-9a-f]{12}", marks["Zebedee area"])
    assert marks["tubule: old"] == "tubule: old"
    assert re.fullmatch(r"c-[0-9a-f]{12}\*", marks["Ignore Zebedee*"])
    cells = [
        sorted((row.x_px, row.y_px, row.background) for row in TileArchive(out).rows)
        for out in (tmp_path / "run" / "1-tiles", tmp_path / "plain")
    ]
    assert cells[0] == cells[1]
    with pytest.raises(BadInput, match="no outlined region is of a class asked for; found are Glomerulus: c-") as caught:
        run(
            asked(config, "centred", classes=("nephron",), not_classes=("glomerulus",)).model_copy(update=given),
            outlined,
            tmp_path / "other",
        )
    assert "Zebedee" not in str(caught.value)


@pytest.mark.skipif(DATA is None, reason="HDGAN_DATA is not set")
def test_every_glomerulus_of_a_real_biopsy_gets_a_tile_with_it(tmp_path):
    folder = Path(str(DATA)) / "kidney" / "slides"
    section = PlacementConfig(way="centred", classes=("glomerulus",), jitter_um=30)
    config = TilesConfig(slides=("biopsy-a.tif",), mpp=1.0, tile_px=256, regions=".geojson", placement=section, num_folds=1)
    manifest = run(config, folder, tmp_path / "out")
    assert read_manifest(tmp_path / "out").counts["regions"]["slides"] == 1
    hits = read_hits(tmp_path / "out" / "regions.csv")
    assert len(hits) == manifest.counts["cells"]
    assert all(hit.area_um2 > 0 for hit in hits)
    with (tmp_path / "out" / "regions.csv").open() as file:
        assert {line["class"] for line in csv.DictReader(file)} == {"Glomerulus"}


def test_tiles_lie_around_what_qupath_outlined_on_a_slide_that_was_scanned_in_part(tmp_path, config):
    pixels = paint()
    pixels[120:180, 220:280] = (20, 120, 40)  # an object that is seen
    write_scn(tmp_path / "a.scn", pixels, corner_px=(300, 200), slide_px=(1200, 900))
    write_qupath(tmp_path / "a.geojson", [("object", square(220, 120, 60))])
    centred = asked(config.model_copy(update={"slides": ("a.scn",), "margin": 1.0}), "centred")
    manifest = run(centred, tmp_path, tmp_path / "out")
    archive = TileArchive(tmp_path / "out")
    (row,) = archive.rows
    assert (row.x_px + row.level0_px / 2, row.y_px + row.level0_px / 2) == (300 + 250, 200 + 150)
    assert np.abs(archive.read(0)[8:-8, 8:-8].mean(axis=(0, 1)) - (20, 120, 40)).max() < 8
    assert manifest.inputs["regions a"].endswith(" from x 300, y 200")
    (hit,) = read_hits(tmp_path / "out" / "regions.csv")
    assert hit.area_um2 == pytest.approx(30**2, rel=0.01)
