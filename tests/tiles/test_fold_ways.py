"""Every way to deal folds, with everything that is done to finished tiles: stores, rebuilding, exports, pseudonyms."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hdgan.errors import BadInput, StaleStage
from hdgan.slides.pseudonyms import make_key, open_key
from hdgan.store.archive import TileArchive
from hdgan.store.codec import stem
from hdgan.store.stage import manifest_hash, read_manifest, verify
from hdgan.store.stylegan_zip import ImageZip
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.export import export_stylegan
from hdgan.tiles.live import open_tiles
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide

WAYS = ("patient", "centre", "tile")


class Clinic:
    """Slides and a key, and finished stages of them, each cut once for this file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scans = folder / "scans"
        self.scans.mkdir()
        for seed, name in enumerate(("a1", "a2", "b1")):
            write_slide(self.scans / f"{name}.tif", paint(384, 320, seed=seed))
        table = "path,patient,centre,stain,diagnosis\na1.tif,A,Rome,PAS,IgAN\na2.tif,A,Rome,HE,IgAN\nb1.tif,B,Pisa,PAS,MN\n"
        (self.scans / "slides.csv").write_text(table)
        self.key = folder / "apart" / "key.txt"
        make_key(self.key)
        self.plain = TilesConfig(slides=("slides.csv",), mpp=1.0, tile_px=32, num_folds=2)
        self.hidden = asked(self.plain, pseudonym_key=self.key)

    def cut(self, config: TilesConfig) -> Path:
        """The finished stage, for reading."""
        names = (config.folds, config.format, config.min_stains_per_case, config.num_folds, config.pseudonym_key is None)
        out = self.folder / "-".join(map(str, names))
        if not out.exists():
            run_tiles(config, out=out, seed=0, base=self.scans)
        return out

    def copied(self, config: TilesConfig, out: Path) -> Path:
        """The finished stage, to be changed."""
        return Path(shutil.copytree(self.cut(config), out))


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> Clinic:
    return Clinic(tmp_path_factory.mktemp("clinic"))


def asked(config, **settings):
    return config.model_copy(update=settings)


def tell(rows):
    return [replace(row, name=stem(row.name)) for row in rows]


def test_folds_are_the_same_however_tiles_are_stored(clinic):
    """By tile they depend on the order of names, which end differently."""
    png, none = (TileArchive(clinic.cut(asked(clinic.plain, folds="tile", format=form))).rows for form in ("png", "none"))
    assert [row.name for row in png] != [row.name for row in none]
    assert tell(png) == tell(none)


@pytest.mark.parametrize("way", WAYS)
def test_unstored_tiles_are_read_from_slides_that_are_known_by_pseudonyms(clinic, way):
    stored = TileArchive(clinic.cut(asked(clinic.plain, folds=way)))
    names = open_key(clinic.key)
    of_place = {(names.slide(r.slide), r.x_px, r.y_px): stored.read(i) for i, r in enumerate(stored.rows)}
    hidden = asked(clinic.hidden, folds=way, format="none")
    with closing(open_tiles(clinic.cut(hidden), hidden, base=clinic.scans)) as archive:
        assert len(archive) == len(of_place)
        for i, row in enumerate(archive.rows):
            assert np.array_equal(archive.read(i), of_place[row.slide, row.x_px, row.y_px])


@pytest.mark.parametrize("way", WAYS)
def test_tiles_under_pseudonyms_are_stored_again_in_their_folds(tmp_path, clinic, way):
    hidden = asked(clinic.hidden, folds=way, format="none")
    out = clinic.copied(hidden, tmp_path / "out")
    index, identity, rows = (out / "tiles.csv").read_bytes(), manifest_hash(out), TileArchive(out).rows
    for form in ("png", "jxl"):
        rebuild_tiles(hidden, out=out, seed=0, base=clinic.scans, form=form)
        archive = TileArchive(out)
        assert tell(archive.rows) == tell(rows)
        assert archive.read(0).shape == (32, 32, 3)
        assert manifest_hash(out) == identity
        assert run_tiles(hidden, out=out, seed=0, base=clinic.scans).counts["tiles"] == len(rows)  # current
        archive.close()
    (out / "tiles.zip").unlink()
    rebuild_tiles(hidden, out=out, seed=0, base=clinic.scans)
    assert (out / "tiles.csv").read_bytes() == index
    assert verify(out) == []


def test_cases_that_are_left_out_stay_out_when_tiles_are_stored_again(tmp_path, clinic):
    hidden = asked(clinic.hidden, min_stains_per_case=2, num_folds=1)
    out = clinic.copied(hidden, tmp_path / "out")
    rebuild_tiles(hidden, out=out, seed=0, base=clinic.scans, form="none")
    with closing(open_tiles(out, hidden, base=clinic.scans)) as archive:
        assert {row.patient for row in archive.rows} == {open_key(clinic.key).patient("A")}
        assert archive.read(len(archive) - 1).any()


def test_another_key_none_or_a_lost_one_opens_no_tile_and_rebuilds_none(tmp_path, clinic):
    hidden = asked(clinic.hidden, format="none")
    out = clinic.copied(hidden, tmp_path / "out")
    other, lost = tmp_path / "other.txt", tmp_path / "lost.txt"
    make_key(other)
    for wrong, why in (
        (other, "is not the key that the tiles were cut with"),
        (None, "names no key, and the tiles were cut with one"),
        (lost, "no such key file"),
    ):
        settings = asked(hidden, pseudonym_key=wrong)
        with pytest.raises(BadInput, match=why):
            open_tiles(out, settings, base=clinic.scans).read(0)
        with pytest.raises(BadInput, match=why):
            rebuild_tiles(settings, out=out, seed=0, base=clinic.scans)
    assert not lost.exists()
    plain = clinic.copied(clinic.plain, tmp_path / "plain")
    with pytest.raises(BadInput, match="tiles were cut without"):  # rather than tiles under names that were to be hidden
        rebuild_tiles(clinic.hidden, out=plain, seed=0, base=clinic.scans)


def test_folds_dealt_in_another_way_are_other_tiles(tmp_path, clinic):
    out = clinic.copied(clinic.plain, tmp_path / "out")
    with pytest.raises(StaleStage, match=r"config\.folds"):
        rebuild_tiles(asked(clinic.plain, folds="tile"), out=out, seed=0, base=clinic.scans)


def test_a_slide_that_was_changed_or_is_no_slide_is_refused_by_its_pseudonym(tmp_path, clinic):
    hidden = asked(clinic.hidden, format="none")
    out, scans, name = clinic.copied(hidden, tmp_path / "out"), tmp_path / "scans", open_key(clinic.key).slide("a1")
    shutil.copytree(clinic.scans, scans)
    (scans / "a1.tif").write_bytes((scans / "a1.tif").read_bytes() + b"\0")
    first = next(i for i, row in enumerate(TileArchive(out).rows) if row.slide == name)
    with pytest.raises(BadInput, match="another file than the slide that was cut") as caught:
        open_tiles(out, hidden, base=scans).read(first)
    assert str(caught.value).startswith(f"{name}.tif: ")
    (scans / "a1.tif").write_bytes(b"no slide")
    with pytest.raises(BadInput) as caught:
        rebuild_tiles(hidden, out=out, seed=0, base=scans)
    assert str(caught.value).startswith(f"{name}.tif: ")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_hidden", [False, True])
def test_each_fold_is_exported_by_itself_and_together_they_are_all(tmp_path, clinic, way, is_hidden):
    config = asked(clinic.hidden, folds=way, format="none") if is_hidden else asked(clinic.plain, folds=way)
    out = clinic.cut(config)
    counts = [of["tiles"] for of in read_manifest(out).counts["folds"]]
    assert len(counts) == 2
    assert min(counts) > 0
    seen: list[bytes] = []
    with closing(open_tiles(out, config, base=clinic.scans)) as archive:
        for fold, expected in enumerate(counts):
            place = tmp_path / f"{fold}.zip"
            assert export_stylegan(archive, place, size_px=16, tile_px=32, folds={fold}, label="stain") == expected
            seen += images(place)
            assert len(images(place)) == expected
        export_stylegan(archive, tmp_path / "all.zip", size_px=16, tile_px=32)
    assert sorted(seen) == sorted(images(tmp_path / "all.zip"))


def images(place: Path) -> list[bytes]:
    exported = ImageZip(place)
    return [exported.read(name) for name in exported.members if name.endswith(".png")]
