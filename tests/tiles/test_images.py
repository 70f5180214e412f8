from __future__ import annotations

import csv
import io
import json

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydantic import ValidationError

from hdgan.errors import BadInput, StaleStage
from hdgan.store.archive import TileArchive
from hdgan.store.stage import manifest_hash, verify
from hdgan.store.stylegan_zip import write_stylegan_zip
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.export import export_stylegan
from hdgan.tiles.image_pixels import decode_image, measured_window, to_rgb
from hdgan.tiles.image_sources import find_images
from hdgan.tiles.images_config import ImagesConfig
from hdgan.tiles.plan import estimate
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.stage import run_tiles


def colour(i: int, edge: int = 32) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (edge, edge, 3), dtype=np.uint8)


def deep(i: int, edge: int = 32) -> np.ndarray:
    return np.random.default_rng(i).integers(100 * i, 1000 + 1000 * i, (edge, edge), dtype=np.uint16)


def run(base, sources, *, images=None, out="out", **settings):
    config = TilesConfig(slides=sources, mpp=0.5, tile_px=32, num_folds=2, images=ImagesConfig(**(images or {})), **settings)
    return config, run_tiles(config, out=base / out, seed=0, base=base)


@pytest.fixture
def folder(tmp_path):
    for patient, numbers in (("A", (1, 2)), ("B", (3,))):
        (tmp_path / "set" / patient).mkdir(parents=True)
        for i in numbers:
            Image.fromarray(colour(i)).save(tmp_path / "set" / patient / f"{i}.png")
    return tmp_path


def test_a_folder_of_images_becomes_tiles_with_patients_from_its_folders(folder):
    _, manifest = run(folder, ("set",))
    archive = TileArchive(folder / "out")
    assert [(row.slide, row.patient, row.mpp) for row in archive.rows] == [("A_1", "A", 0.5), ("A_2", "A", 0.5), ("B_3", "B", 0.5)]
    assert len({row.fold for row in archive.rows if row.patient == "A"}) == 1
    assert all(np.array_equal(archive.read(i), colour(i + 1)) for i in range(3))
    assert set(manifest.outputs) == {"tiles.zip", "tiles.csv", "images.csv", "cases.csv", "qc.png"}
    assert verify(folder / "out") == []
    assert not [line for line in manifest.counts["warnings"] if line.startswith("patient:")]


def test_a_stylegan_zip_and_its_labels_come_back_pixel_by_pixel(folder):
    write_stylegan_zip(folder / "a.zip", [(colour(i), i % 2) for i in range(5)], label_names=["HE", "PAS"])
    _, manifest = run(folder, ("a.zip",))
    archive = TileArchive(folder / "out")
    assert [row.stain for row in archive.rows] == ["HE", "PAS", "HE", "PAS", "HE"]
    assert any(line.startswith("patient: not known of 5 images") for line in manifest.counts["warnings"])
    assert export_stylegan(archive, folder / "b.zip", size_px=32, tile_px=32, label="stain") == 5
    assert (
        json.loads(imagezip(folder / "b.zip", "dataset.json"))["labels"] == json.loads(imagezip(folder / "a.zip", "dataset.json"))["labels"]
    )
    assert all(np.array_equal(archive.read(i), colour(i)) for i in range(5))
    assert all(
        run(folder, ("a.zip",), images={"labels": "none"}, out="none")[1].counts[key] == 5 for key in ("images", "tiles", "patients")
    )
    assert {row.stain for row in TileArchive(folder / "none").rows} == {""}


def test_what_a_mac_or_a_notebook_leaves_beside_images_is_no_image(tmp_path):
    import zipfile

    (tmp_path / "set" / ".ipynb_checkpoints").mkdir(parents=True)
    for name in ("a.png", "._a.png", ".ipynb_checkpoints/a-checkpoint.png"):
        (tmp_path / "set" / name).touch()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("b.png", "__MACOSX/._b.png"):
            archive.writestr(name, b"")
    found = find_images(["set", "set.zip"], base=tmp_path, labels="none")
    assert [entry.name for entry in found] == ["a", "b"]


def imagezip(path, member):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.read(member)


def test_a_table_names_patients_also_of_members_of_a_zip(folder):
    write_stylegan_zip(folder / "a.zip", [(colour(i), None) for i in range(2)])
    lines = ["path,slide,patient,centre,stain", "a.zip/00000/img00000001.png,one,P,Rome,PAS", "set/B/3.png,two,Q,Pisa,HE"]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    run(folder, ("t.csv",))
    archive = TileArchive(folder / "out")
    assert [(row.slide, row.patient, row.centre, row.stain) for row in archive.rows] == [
        ("one", "P", "Rome", "PAS"),
        ("two", "Q", "Pisa", "HE"),
    ]
    assert np.array_equal(archive.read(0), colour(1))


@pytest.fixture
def told(folder):
    """The images, with a centre and a diagnosis each in a table."""
    (folder / "t.csv").write_text(
        "path,patient,centre,stain,diagnosis\nset/A/1.png,A,Rome,PAS,MN\nset/A/2.png,A,Rome,HE,MN\nset/B/3.png,B,Pisa,HE,IgAN\n"
    )
    return folder


def lines(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("way", "of_patient"), [("patient", {"A": 1, "B": 1}), ("centre", {"A": 1, "B": 1}), ("tile", {"A": 2, "B": 1})])
def test_images_are_dealt_into_folds_in_every_way_and_stored_again_in_them(told, way, of_patient):
    config, manifest = run(told, ("t.csv",), folds=way)
    rows = TileArchive(told / "out").rows
    assert {patient: len({row.fold for row in rows if row.patient == patient}) for patient in "AB"} == of_patient
    assert [int(line["fold"]) for line in lines(told / "out" / "images.csv")] == [row.fold for row in rows]
    assert [line["diagnosis"] for line in lines(told / "out" / "images.csv")] == ["MN", "MN", "IgAN"]
    assert {line["patient"]: line["diagnoses"] for line in lines(told / "out" / "cases.csv")} == {"A": "MN", "B": "IgAN"}
    assert sum(of["tiles"] for of in manifest.counts["folds"]) == 3
    assert any(line.startswith("folds by tile: 1 of 2 patients") for line in manifest.counts["warnings"]) == (way == "tile")
    rebuild_tiles(config, out=told / "out", seed=0, base=told, form="jxl")
    assert [row.fold for row in TileArchive(told / "out").rows] == [row.fold for row in rows]


def test_folds_by_centre_need_centres_before_anything_is_written(folder):
    with pytest.raises(BadInput, match="has no centre, and folds are by centre"):
        run(folder, ("set",), folds="centre")
    assert not (folder / "out").exists()


def test_a_diagnosis_makes_tiles_of_images_stale_only_where_there_is_one(told):
    plain = (told / "t.csv").read_text()
    (told / "t.csv").write_text(plain.replace("MN", "").replace("IgAN", ""))
    _, manifest = run(told, ("t.csv",))
    (told / "t.csv").write_text(plain.replace(",diagnosis", "").replace(",MN", "").replace(",IgAN", ""))
    assert run(told, ("t.csv",))[1] == manifest
    (told / "t.csv").write_text(plain)
    with pytest.raises(StaleStage, match=r"inputs\.image table"):
        run(told, ("t.csv",))


@pytest.mark.parametrize("setting", [{"pseudonym_key": "key.txt"}, {"min_stains_per_case": 2}])
def test_settings_of_slides_are_refused_for_images(setting):
    with pytest.raises(ValidationError, match="is for slides; of images, name or leave out in their table"):
        TilesConfig(slides=("a.zip",), mpp=0.5, tile_px=32, images=ImagesConfig(), **setting)


def png16(path, pixels):
    path.write_bytes(imagecodecs.png_encode(pixels))


@pytest.mark.parametrize(
    ("images", "window"),
    [
        ({}, (0, 65535)),
        ({"window": "range", "window_range": (0, 4095)}, (0, 4095)),
        ({"window": "percentiles"}, None),
        ({"window": "each"}, "each"),
    ],
)
def test_sixteen_bit_images_are_converted_by_the_window_that_was_stated(tmp_path, images, window):
    (tmp_path / "set").mkdir()
    png16(tmp_path / "set" / "1.png", deep(1))
    tifffile.imwrite(tmp_path / "set" / "2.tif", deep(2))
    _, manifest = run(tmp_path, ("set",), images=images)
    archive = TileArchive(tmp_path / "out")
    if window is None:
        together = np.concatenate([deep(1), deep(2)]).ravel()
        window = tuple(np.percentile(together, [0.1, 99.9], method="inverted_cdf"))
    assert manifest.counts["window"] == (list(window) if "window" in images and window != "each" else None)
    for number, pixels in enumerate((deep(1), deep(2))):
        low, high = np.percentile(pixels, [0.1, 99.9], method="inverted_cdf") if window == "each" else window
        expected = np.round(np.clip((pixels.astype(float) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        assert np.array_equal(archive.read(number), np.stack([expected] * 3, axis=-1))


@pytest.mark.parametrize(
    "kind",
    ["grey8.png", "grey8.jpg", "colour16.png", "colour16.tif", "signed.tif", "palette.png", "opacity.png", "planar.tif", "inverted.tif"],
)
def test_pixels_of_every_kind_are_those_that_were_saved(tmp_path, kind):
    path, rng = tmp_path / kind, np.random.default_rng(0)
    wide = rng.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    narrow = rng.integers(0, 256, (9, 7), dtype=np.uint8)
    expected: np.ndarray = narrow
    if kind == "grey8.png":
        Image.fromarray(narrow).save(path)
    elif kind == "grey8.jpg":
        Image.fromarray(narrow).save(path)
        expected = np.asarray(Image.open(path))
    elif kind == "colour16.png":
        png16(path, wide)
        expected = wide
    elif kind == "colour16.tif":
        tifffile.imwrite(path, wide, photometric="rgb", byteorder=">")
        expected = wide
    elif kind == "signed.tif":
        expected = (wide[..., 0].astype(int) - 32768).astype(np.int16)
        tifffile.imwrite(path, expected)
    elif kind == "palette.png":
        image = Image.fromarray(colour(0, 8)).convert("P")
        image.save(path)
        expected = np.asarray(image.convert("RGB"))
    elif kind == "opacity.png":
        Image.fromarray(np.dstack([colour(0, 8), np.zeros((8, 8), np.uint8)])).save(path)
        expected = np.full((8, 8, 3), 255, np.uint8)
    elif kind == "planar.tif":
        tifffile.imwrite(path, np.moveaxis(wide, 2, 0), photometric="rgb", planarconfig="separate")
        expected = wide
    else:
        tifffile.imwrite(path, 255 - narrow, photometric="miniswhite")
    found = decode_image(path.read_bytes(), where=kind)
    assert found.dtype.newbyteorder("=") == expected.dtype
    assert np.array_equal(found, expected)
    rgb = to_rgb(found, window=None)
    assert rgb.shape == (*expected.shape[:2], 3)
    assert rgb.dtype == np.uint8


def test_a_window_is_measured_over_the_deep_images_alone_and_counts_exactly():
    assert measured_window([colour(1)], percentiles=(1, 99)) is None
    found = measured_window([colour(1), deep(1), deep(3) - 200], percentiles=(2, 90))
    together = np.concatenate([deep(1), deep(3) - 200])
    assert found == tuple(np.percentile(together, [2, 90], method="inverted_cdf"))
    assert measured_window([np.array([[-5, 7]], np.int16)], percentiles=(0, 100)) == (-5, 7)


@pytest.mark.parametrize(
    ("pixels", "images", "why"),
    [
        (colour(0, 31), {"fit": "shrink"}, "has 31 x 31 px, a tile 32 x 32; ask for smaller tiles: nothing is enlarged"),
        (colour(0, 40), {}, r'has 40 x 40 px, a tile 32 x 32; choose images.fit = "crop"'),
    ],
)
def test_images_of_other_sizes_are_refused_or_left_out(folder, pixels, images, why):
    Image.fromarray(pixels).save(folder / "set" / "B" / "9.png")
    with pytest.raises(BadInput, match=why):
        run(folder, ("set",), images=images)
    run(folder, ("set",), images=images, broken_slides="skip", out="skipped")
    with (folder / "skipped" / "images.csv").open() as file:
        verdicts = {line["image"]: (line["verdict"], line["problem"]) for line in csv.DictReader(file)}
    assert verdicts["B_9"][0] == "left out"
    assert "a tile 32 x 32" in verdicts["B_9"][1]
    assert [row.slide for row in TileArchive(folder / "skipped").rows] == ["A_1", "A_2", "B_3"]


def test_larger_images_are_cropped_or_shrunk_only_when_asked(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    (tmp_path / "set").mkdir()
    Image.fromarray(pixels).save(tmp_path / "set" / "1.png")
    run(tmp_path, ("set",), images={"fit": "crop"}, out="crop")
    run(tmp_path, ("set",), images={"fit": "shrink"}, out="shrink")
    cropped, shrunk = TileArchive(tmp_path / "crop"), TileArchive(tmp_path / "shrink")
    assert np.array_equal(cropped.read(0), pixels[16:48, 24:56])
    assert (cropped.rows[0].x_px, cropped.rows[0].y_px, cropped.rows[0].level0_px) == (24, 16, 32)
    blocks = pixels[:, 8:72].reshape(32, 2, 32, 2, 3).astype(int).sum(axis=(1, 3))
    assert np.array_equal(shrunk.read(0), (blocks + 2) // 4)
    (tmp_path / "t.csv").write_text("path,mpp\nset/1.png,0.5\n")
    with pytest.raises(BadInput, match=r"gives a tile of 1 um/px, not the 0\.5 asked for"):
        run(tmp_path, ("t.csv",), images={"fit": "shrink"}, out="scaled")


def test_images_of_nothing_but_background_are_dropped_only_when_asked(folder):
    Image.new("RGB", (32, 32), (250, 250, 250)).save(folder / "set" / "A" / "0.png")
    assert run(folder, ("set",))[1].counts["tiles"] == 4
    assert run(folder, ("set",), images={"max_background": 0.9}, out="less")[1].counts["tiles"] == 3


def test_equal_runs_give_equal_bytes_and_a_changed_image_is_told(folder):
    for out in ("one", "two"):
        config, _ = run(folder, ("set",), out=out)
    for name in ("tiles.zip", "tiles.csv", "images.csv", "cases.csv", "qc.png", "manifest.json"):
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()
    Image.fromarray(colour(7)).save(folder / "set" / "B" / "3.png")
    with pytest.raises(StaleStage, match=r"inputs\.images"):
        run_tiles(config, out=folder / "one", seed=0, base=folder)


def test_tiles_of_images_are_stored_again_byte_by_byte_and_in_other_formats(folder):
    config, _ = run(folder, ("set",))
    before, identity = {p.name: p.read_bytes() for p in (folder / "out").glob("*.*")}, manifest_hash(folder / "out")
    rebuild_tiles(config, out=folder / "out", seed=0, base=folder, form="jxl")
    assert np.array_equal(TileArchive(folder / "out").read(2), colour(3))
    assert manifest_hash(folder / "out") == identity
    (folder / "out" / "tiles.zip").unlink()
    rebuild_tiles(config, out=folder / "out", seed=0, base=folder)
    after = {p.name: p.read_bytes() for p in (folder / "out").glob("*.*")}
    assert {k: v for k, v in after.items() if k != "provenance.json"} == {k: v for k, v in before.items() if k != "provenance.json"}
    with pytest.raises(BadInput, match="cannot be stored as raw"):
        rebuild_tiles(config, out=folder / "out", seed=0, base=folder, form="raw")


def test_what_is_no_image_is_refused_by_name(folder):
    (folder / "set" / "B" / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    with pytest.raises(BadInput, match=r"4\.png: cannot be decoded"):
        run(folder, ("set",))
    stack = io.BytesIO()
    tifffile.imwrite(stack, np.zeros((3, 32, 32), np.uint16), photometric="minisblack")
    with pytest.raises(BadInput, match="holds 3 images"):
        decode_image(stack.getvalue(), where="stack.tif")
    floats = io.BytesIO()
    tifffile.imwrite(floats, np.zeros((32, 32), np.float32))
    with pytest.raises(BadInput, match="numbers of type float32"):
        decode_image(floats.getvalue(), where="floats.tif")
    for source in ("absent", "set/A/none"):
        with pytest.raises(BadInput, match="is no folder, ZIP, table or image"):
            run(folder, (source,))


@pytest.mark.parametrize(
    "images", [{"window": "range"}, {"window_range": (0, 1)}, {"window_percentiles": (9, 1)}, {"window": "range", "window_range": (2, 1)}]
)
def test_windows_that_say_nothing_are_refused(images):
    with pytest.raises(ValueError, match="window"):
        ImagesConfig(**images)


def test_images_are_counted_for_the_plan_and_are_stored(folder):
    config, _ = run(folder, ("set",))
    assert estimate(config, base=folder).num_cells == 3
    with pytest.raises(ValueError, match='format = "none" is for slides'):
        TilesConfig(slides=("s",), mpp=1, tile_px=32, images=ImagesConfig(), format="none")
