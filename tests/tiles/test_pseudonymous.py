"""The stage under pseudonyms: true names in nothing that it writes, prints or raises."""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from hdgan.errors import BadConfig, BadInput, HdganError, StaleStage
from hdgan.progress import Silent
from hdgan.slides.pseudonyms import make_key, open_key
from hdgan.store.archive import TileArchive
from hdgan.tiles import parts, plan, work
from hdgan.tiles.plan import estimate
from hdgan.tiles.shards import Shard, cut_shard
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide
from tests.tiles import faults

CANARY = "Zebedee"
"""Part of every true name here: patients, slides, files and the folder they lie in."""


class Listener(Silent):
    def __init__(self):
        self.lines = []

    def start(self, label, *, total, done=0):
        self.lines.append(label)

    def advance(self, steps=1, *, note=""):
        self.lines.append(note)

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def clinic(tmp_path) -> Path:
    """A table in a folder of its own, its slides in a folder that is called like a patient."""
    folder = tmp_path / "scans" / f"{CANARY}-folder"
    folder.mkdir(parents=True)
    lines = ["path,patient,centre,stain,diagnosis"]
    for seed, (patient, stain) in enumerate((("1", "PAS"), ("1", "HE"), ("2", "PAS"))):
        path = folder / f"{CANARY}_{patient}_{seed}.tif"
        write_slide(path, paint(seed=seed))
        lines.append(f"{folder.name}/{path.name},{CANARY}-{patient},Rome,{stain},MN")
    (tmp_path / "scans" / "slides.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "scans"


@pytest.fixture
def asked(config, tmp_path):
    return config.model_copy(update={"pseudonym_key": tmp_path / "apart" / "key.txt"})


def run(config, base, out, listener=None, **settings):
    return run_tiles(config, out=out, seed=0, base=base, progress=listener or Listener(), **settings)


def holding(root: Path, canary: str) -> list[str]:
    """Files below `root` whose name or bytes hold the canary in any case, and members of ZIP files likewise."""
    found = []
    for path in sorted(root.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        pieces = {path.relative_to(root).as_posix(): data}
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                pieces |= {f"{path.name}/{name}": archive.read(name) for name in archive.namelist()}
        found += [name for name, content in pieces.items() if canary.lower().encode() in name.lower().encode() + b"\0" + content.lower()]
    return found


def test_the_search_finds_a_canary_in_names_in_bytes_and_inside_a_zip(tmp_path):
    (tmp_path / "zebedee.txt").write_text("")
    (tmp_path / "b.bin").write_bytes(b"\x00xZEBEDEEx")
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in.txt", "Zebedee " * 20)
    assert holding(tmp_path, CANARY) == ["b.bin", "c.zip/in.txt", "zebedee.txt"]


def test_no_true_name_is_in_any_artifact_or_line(tmp_path, clinic, asked, config):
    listener = Listener()
    out = tmp_path / "runs" / "mine" / "1-tiles"
    manifest = run(asked, clinic, out, listener)
    assert holding(out, CANARY) == []
    assert CANARY not in "\n".join(listener.lines)
    run(config, clinic, tmp_path / "plain")
    assert holding(tmp_path / "plain", CANARY)  # without a key they are there, so that the search means something
    key = open_key(asked.pseudonym_key)
    rows = TileArchive(out).rows
    assert {r.patient for r in rows} == {key.patient(f"{CANARY}-1"), key.patient(f"{CANARY}-2")}
    assert {r.slide for r in rows} == {key.slide(f"{CANARY}_{name}") for name in ("1_0", "1_1", "2_2")}
    assert manifest.inputs["pseudonym key"] == key.fingerprint
    assert len(rows) == len(TileArchive(tmp_path / "plain").rows)


def test_the_key_is_its_owners_alone_and_in_no_artifact(tmp_path, clinic, asked):
    listener = Listener()
    run(asked, clinic, tmp_path / "out", listener)
    path = asked.pseudonym_key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert holding(tmp_path / "out", open_key(path).key.hex()) == []
    assert any(line.startswith(f"made the pseudonym key {path}") for line in listener.lines)
    path.chmod(0o644)
    again = Listener()
    run(asked, clinic, tmp_path / "out", again)
    assert any("others on this machine can read the pseudonym key" in line for line in again.lines)


def test_one_key_gives_the_same_bytes_in_every_run_and_another_key_is_another_run(tmp_path, clinic, asked):
    first = run(asked, clinic, tmp_path / "one")
    assert run(asked, clinic, tmp_path / "two") == first
    assert run(asked, clinic, tmp_path / "one") == first
    moved = asked.model_copy(update={"pseudonym_key": tmp_path / "elsewhere.txt"})
    shutil.copy(asked.pseudonym_key, moved.pseudonym_key)
    assert run(moved, clinic, tmp_path / "one") == first  # where a key lies changes nothing
    other = asked.model_copy(update={"pseudonym_key": tmp_path / "new.txt"})
    make_key(other.pseudonym_key)
    with pytest.raises(StaleStage, match=r"inputs\.pseudonym key") as caught:
        run(other, clinic, tmp_path / "two")
    assert CANARY not in str(caught.value)


def test_a_key_that_is_gone_is_not_made_anew_for_tiles_that_were_cut_with_it(tmp_path, clinic, asked):
    run(asked, clinic, tmp_path / "out")
    asked.pseudonym_key.unlink()
    with pytest.raises(BadInput, match="no such key file; put it back"):
        run(asked, clinic, tmp_path / "out")
    assert not asked.pseudonym_key.exists()
    first = {r.patient for r in TileArchive(tmp_path / "out").rows}
    run(asked, clinic, tmp_path / "out", redo=True)
    assert asked.pseudonym_key.exists()
    assert not first & {r.patient for r in TileArchive(tmp_path / "out").rows}


@pytest.mark.parametrize("place", ["runs/mine/key.txt", "runs/mine/1-tiles/key.txt", "runs/mine/3-samples/key.txt", "link/key.txt"])
def test_a_key_inside_the_folder_of_the_run_is_refused(tmp_path, clinic, asked, place):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "runs" / "mine")
    inside = asked.model_copy(update={"pseudonym_key": tmp_path / place})
    with pytest.raises(BadConfig, match="inside the folder of the run"):
        run(inside, clinic, tmp_path / "runs" / "mine" / "1-tiles")
    assert not (tmp_path / place).exists()


def test_slides_left_out_are_told_and_listed_by_their_pseudonyms(tmp_path, clinic, asked):
    bad = clinic / f"{CANARY}-folder" / f"{CANARY}_bad.svs"
    bad.write_bytes(b"no slide")
    with (clinic / "slides.csv").open("a") as file:
        file.write(f"{bad.parent.name}/{bad.name},{CANARY}-3,Rome,PAS,MN\n{bad.parent.name}/{CANARY}_gone.svs,{CANARY}-3,Rome,HE,MN\n")
    with pytest.raises(BadInput) as caught:
        run(asked, clinic, tmp_path / "out")
    name = open_key(asked.pseudonym_key).slide(f"{CANARY}_bad")
    assert CANARY not in str(caught.value)
    listener = Listener()
    run(asked.model_copy(update={"broken_slides": "skip"}), clinic, tmp_path / "out", listener)
    assert any(line.startswith(f"left out: {name}.svs: is a text file") for line in listener.lines)
    assert f"{name},{name}.svs" in (tmp_path / "out" / "slides.csv").read_text()
    assert CANARY not in "\n".join(listener.lines)
    assert holding(tmp_path / "out", CANARY) == []
    problems = estimate(asked, base=clinic).problems
    assert len(problems) == 2
    assert CANARY not in " ".join(problems)


def test_a_plan_makes_no_key_and_names_nobody(tmp_path, clinic, asked):
    (clinic / f"{CANARY}-folder" / f"{CANARY}_2_2.tif").write_bytes(b"no slide")
    found = estimate(asked, base=clinic)
    assert found.num_slides == 2
    assert CANARY not in " ".join(found.problems)
    assert not asked.pseudonym_key.exists()


def test_a_failure_while_cutting_names_nobody_and_leaves_no_name_behind(tmp_path, clinic, asked, monkeypatch):
    plain = work.cut_slide

    def failing(slide, plan, config, *, progress, **given):
        for number, pair in enumerate(plain(slide, plan, config, progress=progress, **given)):
            if number == 3:
                progress.say(f"{slide.path}: a region cannot be decoded")
                raise BadInput(slide.path, f"{slide.path.name} fell off the disk {slide.path.parent}/x")
            yield pair

    monkeypatch.setattr(work, "cut_slide", failing)
    listener = Listener()
    with pytest.raises(HdganError, match="fell off the disk") as caught:
        run(asked, clinic, tmp_path / "out", listener)
    assert CANARY not in str(caught.value)
    assert any("a region cannot be decoded" in line for line in listener.lines)
    assert CANARY not in "\n".join(listener.lines)
    assert (tmp_path / "out" / parts.PARTS).exists()
    assert holding(tmp_path / "out", CANARY) == []


@pytest.mark.parametrize(("module", "name", "fault"), [(work, "cut_part", "cut_but_for_bad"), (plan, "plan_entry", "plan_but_for_bad")])
def test_a_reader_that_crashes_names_nobody(tmp_path, clinic, asked, monkeypatch, module, name, fault):
    write_slide(clinic / f"{CANARY}-folder" / f"bad-{CANARY}.tif", paint(seed=9))
    with (clinic / "slides.csv").open("a") as table:
        table.write(f"{CANARY}-folder/bad-{CANARY}.tif,{CANARY}-3,Rome,PAS,MN\n")
    monkeypatch.setattr(module, name, getattr(faults, fault))
    listener, workers = Listener(), {"workers": 2}
    with pytest.raises(BadInput, match="ended by signal 11") as caught:
        run(asked.model_copy(update=workers), clinic, tmp_path / "out", listener)
    assert CANARY not in str(caught.value)
    run(asked.model_copy(update=workers | {"broken_slides": "skip"}), clinic, tmp_path / "out", listener, redo=True)
    assert any("it is tried once more" in line for line in listener.lines)
    assert CANARY not in "\n".join(listener.lines)
    assert "ended by signal 11" in (tmp_path / "out" / "slides.csv").read_text()
    assert holding(tmp_path / "out", CANARY) == []


def test_shares_are_cut_under_pseudonyms_and_joined(tmp_path, clinic, asked):
    listener = Listener()
    for number in (1, 2):
        cut_shard(asked, Shard(number, 2), out=tmp_path / "out", seed=0, base=clinic, progress=listener)
        assert holding(tmp_path / "out", CANARY) == []
    run(asked, clinic, tmp_path / "out", listener)
    run(asked, clinic, tmp_path / "whole")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == (tmp_path / "whole" / "manifest.json").read_bytes()
    assert CANARY not in "\n".join(listener.lines)


def test_the_same_slide_twice_is_refused_without_its_name(tmp_path, clinic, asked):
    folder = clinic / f"{CANARY}-folder"
    shutil.copy(folder / f"{CANARY}_1_0.tif", folder / f"{CANARY}_copy.tif")
    with pytest.raises(BadInput, match="is the same slide as") as caught:
        run(asked.model_copy(update={"slides": ("*/*.tif",)}), clinic, tmp_path / "out")
    assert CANARY not in str(caught.value)


def test_settings_that_name_a_slide_are_refused(tmp_path, clinic, asked):
    with pytest.raises(BadConfig, match=r"tiles\.slides: number 1 names a slide or patient") as caught:
        run(asked.model_copy(update={"slides": (f"{CANARY}-folder/{CANARY}_1_0.tif",)}), clinic, tmp_path / "out")
    assert CANARY not in str(caught.value)
