"""An identity planted in every text field of a slide reaches no file, line or page; nor do true names where there is a pseudonym key."""

from __future__ import annotations

import io
import logging
import os
import re
import zipfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from hdgan.tiles import work
from tests.slides.outlining import circle, write_qupath
from tests.slides.painting import paint
from tests.tiles import faults

CANARY = "Zebedee"
SIZE = "640x512"
TILE = 64
SETTINGS = """
[run]
name = "x"
[tiles]
slides = ["scans/table.csv"]
mpp = 0.5
tile_px = 64
num_folds = 2
format = "{form}"
broken_slides = "skip"
{more}
[generator]
resolution = 64
"""


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def marked_tiles(pixels: np.ndarray):
    """The JPEG tiles, each with the canary in a comment, in EXIF and behind its end."""
    height, width = pixels.shape[:2]
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            tile = np.ascontiguousarray(pixels[y : y + TILE, x : x + TILE])
            stream = imagecodecs.jpeg8_encode(tile, level=90, colorspace="RGB", outcolorspace="YCBCR", subsampling="444")
            text = segment(0xFE, CANARY.encode()) + segment(0xE1, b"Exif\0\0" + CANARY.encode())
            yield stream[:2] + text + stream[2:] + CANARY.encode()


def signed(height: int, width: int) -> np.ndarray:
    """Pixels that spell the canary over and over, `[H, W, 3]` uint8, as a label says who it is."""
    data = (CANARY.encode() * (height * width * 3 // len(CANARY) + 1))[: height * width * 3]
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def texts() -> list[tuple[int, str | int, int, object, bool]]:
    """Every tag of TIFF that holds text or foreign data."""
    ascii_tags = {269: "DocumentName", 271: "Make", 272: "Model", 285: "PageName", 315: "Artist", 316: "HostComputer", 33432: "Copyright"}
    told = [(number, "s", 0, f"{name} {CANARY}", False) for number, name in ascii_tags.items()]
    blobs = {700: b"<x>" + CANARY.encode() + b"</x>", 34675: CANARY.encode() * 20, 34377: CANARY.encode(), 33723: CANARY.encode()}
    return [*told, *((number, 7, len(data), data, False) for number, data in blobs.items())]


def write_marked_svs(path: Path, *, seed: int, mpp: str = "0.5") -> Path:
    """An Aperio slide: two levels, a thumbnail, a label and a macro image, each with the canary in all that is not pixels of the scan."""
    said = f"AppMag = 20|MPP = {mpp}|Filename = {CANARY}|Patient = {CANARY}|User = {CANARY}|Title = {CANARY}|ScanScope ID = {CANARY}"
    base = f"Aperio Image Library v11.2.1 {CANARY}\r\n"
    level, shared = paint(640, 512, seed=seed), {"metadata": None, "software": CANARY, "extratags": texts()}
    with tifffile.TiffWriter(path) as writer:

        def write_level(pixels: np.ndarray) -> None:
            size = f"{pixels.shape[1]}x{pixels.shape[0]}"
            writer.write(
                marked_tiles(pixels),
                shape=pixels.shape,
                dtype=np.uint8,
                tile=(TILE, TILE),
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(1, 1),
                description=f"{base}{SIZE} [0,0 {size}] ({TILE}x{TILE}) JPEG/RGB Q=90|{said}",
                **shared,
            )

        write_level(level)
        thumbnail = np.ascontiguousarray(level[::8, ::8])
        writer.write(thumbnail, photometric="rgb", rowsperstrip=16, description=f"{base}{SIZE} -> 80x64 - |{said}", **shared)
        write_level(np.ascontiguousarray(level[::4, ::4]))
        writer.write(signed(40, 50), photometric="rgb", subfiletype=1, rowsperstrip=40, description=f"{base}label 50x40 {CANARY}", **shared)
        writer.write(signed(40, 90), photometric="rgb", subfiletype=9, rowsperstrip=40, description=f"{base}macro 90x40 {CANARY}", **shared)
    return path


def holding(data: bytes, name: str) -> list[str]:
    """Where the canary is: in the name, the bytes, the members of a ZIP, and what an image says or shows, in any case and in UTF-16."""
    wanted = [CANARY.lower().encode(), CANARY.lower().encode("utf-16-le")]

    def has(content: bytes) -> bool:
        return any(word in content.lower() for word in wanted)

    found = [name] if has(name.encode()) or has(data) else []
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                found += [f"{name}/{inner}" for inner in holding(archive.read(member), member)]
    elif Path(name).suffix in (".png", ".jpg", ".tif", ".jxl"):
        pixels, told = shown(data, name)
        found += [f"{name} (decoded)"] if has(pixels.tobytes()) or has(told) else []
    return found


def shown(data: bytes, name: str) -> tuple[np.ndarray, bytes]:
    if name.endswith(".jxl"):
        return np.asarray(imagecodecs.jpegxl_decode(data)), b""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image), repr((image.info, dict(getattr(image, "tag_v2", {})))).encode()


def holding_below(root: Path) -> list[str]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return [found for path in files for found in holding(path.read_bytes(), path.relative_to(root).as_posix())]


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> list[bytes]:
    """Two good slides, the second with a damaged tile, and one whose scale is the canary."""
    folder = tmp_path_factory.mktemp("slides")
    found = [write_marked_svs(folder / f"{seed}.svs", seed=seed).read_bytes() for seed in range(2)]
    with tifffile.TiffFile(folder / "1.svs") as tiff:
        offset, count = tiff.pages[0].dataoffsets[33], tiff.pages[0].databytecounts[33]
    found[1] = found[1][:offset] + CANARY.encode() * (count // len(CANARY)) + found[1][offset + count // len(CANARY) * len(CANARY) :]
    return [*found, write_marked_svs(folder / "scale.svs", seed=2, mpp=CANARY).read_bytes()]


def put(root: Path, slides: list[bytes], names: list[str], patients: list[str], folder: str) -> None:
    scans = root / "scans" / folder
    scans.mkdir(parents=True)
    lines = ["path,patient,centre,stain,diagnosis"]
    for data, name, patient in zip(slides, names, patients, strict=True):
        (scans / f"{name}.svs").write_bytes(data)
        lines.append(f"{folder}/{name}.svs,{patient},Rome,PAS,MN")
    (root / "scans" / "table.csv").write_text("\n".join(lines) + "\n")


def through_everything(hdgan, root: Path, form: str, more: str) -> str:
    """Cuts, stores again in every format, exports and checks; all that was said."""
    (root / "x.toml").write_text(SETTINGS.format(form=form, more=more))
    run, said = root / "run", []
    others = [other for other in ("png", "jxl", "jpeg", "none", "raw") if other != form and (form == "raw" or other != "raw")]
    for command in (
        ("run", root / "x.toml", "--plan", "--out", run),
        ("tile", run, "--config", root / "x.toml"),
        ("tile", run, "--what-if"),
        ("export-tiles", run, "--size", "32", "--labels", "patient", "--out", root / "exports" / f"{form}.zip"),
        *(("tile", run, "--rebuild", "--format", other) for other in others),
        ("tile", run, "--rebuild"),
        ("verify", run),
        ("tile", run),
    ):
        code, out, error = hdgan(*command)
        assert code == 0, (command, out, error)
        said += [out, error]
        if "--rebuild" in command:
            assert holding_below(run) == [], command
    return "\n".join(said)


def test_the_canary_is_found_where_it_is_planted(tmp_path, slides):
    put(tmp_path, slides, ["a", "b", "c"], ["A", "B", "C"], "s")
    assert holding_below(tmp_path) == ["scans/s/a.svs", "scans/s/b.svs", "scans/s/c.svs"]
    png = io.BytesIO()
    Image.fromarray(signed(8, 8)).save(png, format="PNG")
    assert holding(png.getvalue(), "x.png") == ["x.png (decoded)"]
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in.csv", f"{CANARY}," * 9)
    assert holding((tmp_path / "z.zip").read_bytes(), "z.zip") == ["z.zip/in.csv"]
    assert holding(CANARY.encode("utf-16-le"), "t.txt") == ["t.txt"]
    with tifffile.TiffFile(tmp_path / "scans" / "s" / "a.svs") as tiff:
        assert [page.is_tiled for page in tiff.pages] == [True, False, True, False, False]
        assert all(CANARY in page.description for page in tiff.pages)


def test_the_canary_is_heard_from_a_worker_that_writes_where_c_libraries_do(tmp_path, slides, hdgan, monkeypatch):
    put(tmp_path, slides[:1], [CANARY], ["A"], "s")
    (tmp_path / "x.toml").write_text(SETTINGS.format(form="none", more="workers = 2").replace("num_folds = 2", "num_folds = 1"))
    hdgan("run", tmp_path / "x.toml", "--plan", "--out", tmp_path / "run")
    monkeypatch.setattr(work, "cut_part", faults.cut_aloud)
    code, _, error = hdgan("tile", tmp_path / "run", "--config", tmp_path / "x.toml")
    assert code == 0
    (process,) = re.findall(rf"^{CANARY} in (\d+)$", error, re.MULTILINE)
    assert int(process) != os.getpid()


@pytest.mark.parametrize("form", ["png", "jxl", "jpeg", "raw", "none"])
def test_nothing_that_a_slide_says_of_anybody_goes_into_a_run_or_is_said(tmp_path, slides, hdgan, caplog, form):
    put(tmp_path, slides, ["a", "b", "c"], ["A", "B", "C"], "s")
    (tmp_path / "exports").mkdir()
    with caplog.at_level(logging.DEBUG):
        code, seen, error = hdgan("inspect", tmp_path / "scans" / "table.csv", "--pictures", tmp_path / "pictures")
        assert code == 2  # of the slide without a scale
        said = seen + error + through_everything(hdgan, tmp_path, form, "")
    assert "a: aperio" in said
    assert "does not state its scale" in said
    assert CANARY.lower() not in (said + caplog.text).lower()
    for folder in ("run", "exports", "pictures"):
        assert len(list((tmp_path / folder).rglob("*.*"))) > 0
        assert holding_below(tmp_path / folder) == []
    assert "unreadable" in (tmp_path / "run" / "1-tiles" / "cells.csv").read_text()


@pytest.mark.parametrize("form", ["png", "raw", "none"])
def test_under_a_key_no_name_of_the_slide_table_either(tmp_path, slides, hdgan, caplog, form):
    names = [f"{CANARY}_{letter}" for letter in "abc"]
    put(tmp_path, slides, names, [f"{CANARY}-{number}" for number in range(3)], f"{CANARY}-scans")
    (tmp_path / "exports").mkdir()
    for name in names:  # outlined, and classes called after somebody
        outlines = [(f"{CANARY} glomerulus", circle(200, 200, 60)), (f"Tumor: {CANARY}", circle(400, 300, 60))]
        write_qupath(tmp_path / "scans" / f"{CANARY}-scans" / f"{name}.geojson", outlines)
    settings = f'pseudonym_key = "{tmp_path / "apart" / "key.txt"}"\nregions = ".geojson"\nregion_classes_shown = ["Tumor"]'
    with caplog.at_level(logging.DEBUG):
        said = through_everything(hdgan, tmp_path, form, settings)
    assert "Tumor: c-" in (tmp_path / "run" / "1-tiles" / "regions.csv").read_text()
    assert CANARY.lower() not in (said + caplog.text).lower()
    for folder in ("run", "exports", "apart"):
        assert holding_below(tmp_path / folder) == []
    page = (tmp_path / "run" / "1-tiles" / "report.html").read_text()
    assert "left out: does not state its scale" in page
    assert page.count("<section") == 3  # both slides and the cases


def test_no_module_asks_for_the_label_or_the_macro_image():
    sources = list((Path(__file__).parents[2] / "src").rglob("*.py"))
    assert len(sources) > 100
    assert not [path for path in sources if "associated_images" in path.read_text() or "read_associated" in path.read_text()]
