from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from hdgan.errors import BadInput, StaleStage
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import FILE, load_generator, save_generator
from hdgan.plots.sheets import named_sheet
from hdgan.samples.config import SamplesConfig
from hdgan.samples.draw import draw_one
from hdgan.samples.recheck import recheck
from hdgan.samples.stage import fill_bank, read_random, read_shortlist, run_samples
from hdgan.store.bank import SampleBank
from hdgan.store.stage import open_stage, verify
from tests.samples.fake import FakeGenerator

CONFIG = SamplesConfig(num=9, shortlist=4)


def tree(folder, without=("provenance.json", ".lock")):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in without)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def generator(tmp_path):
    """A finished generator stage with a network of 16 px and initial weights."""
    folder = tmp_path / "2-generator"
    network = Generator(NetworkSpec(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=8))
    with open_stage(folder, stage="generator", config={}, seed=0, inputs={}) as stage:
        save_generator(stage.path / FILE, network, mpp=0.5, trained={})
        stage.seal(counts={})
    return folder


def test_a_bank_holds_what_the_generator_draws_at_the_same_seed(tmp_path, generator):
    out = tmp_path / "3-samples"
    manifest = run_samples(CONFIG, generator=generator, out=out, seed=4)
    bank, model = SampleBank(out), load_generator(generator / FILE)
    assert (len(bank), bank.mpp, bank.resolution, manifest.counts) == (9, 0.5, 16, {"samples": 9, "shortlist": 4})
    for index in range(9):
        drawn = draw_one(model, index, psi=0.7, seed=4)
        assert bank.row(index) == drawn.row
        assert np.array_equal(bank.image(index), drawn.image)
        assert np.array_equal(bank.latent(index), drawn.w)
        assert np.array_equal(np.load(out / "z.npy")[index], drawn.z)
        assert recheck(model, bank, index).outcome == "identical"
    assert verify(out) == []
    assert not (out / "parts").exists()


def test_the_shortlist_names_samples_and_both_sheets_can_be_looked_at(tmp_path, generator):
    out = tmp_path / "3-samples"
    run_samples(CONFIG, generator=generator, out=out, seed=4)
    names = read_shortlist(out)
    assert len(set(names)) == 4
    assert set(names) <= {row.name for row in SampleBank(out).rows}
    assert sum(row["stands_for"] for row in json.loads((out / "shortlist.json").read_text())["samples"]) == 9
    for name in ("contact_sheet.png", "shortlist.png"):
        with Image.open(out / name) as sheet:
            assert min(sheet.size) >= 2 * 16
            assert len(np.unique(np.asarray(sheet))) > 20
    with pytest.raises(BadInput, match="cannot be read as a shortlist"):
        read_shortlist(tmp_path)


def test_every_image_on_a_sheet_stands_under_its_whole_name(tmp_path, generator):
    out = tmp_path / "3-samples"
    run_samples(SamplesConfig(num=9, shortlist=4, random=3), generator=generator, out=out, seed=4)
    bank = SampleBank(out)
    listed = {"shortlist.png": (read_shortlist(out), 2), "random.png": (read_random(out), 2)}
    listed["contact_sheet.png"] = ([row.name for row in bank.rows], 3)
    for file, (names, columns) in listed.items():
        sheet = np.asarray(Image.open(out / file))
        for place, name in enumerate(names):
            top, left = 4 + place // columns * (18 + 64 + 4), 4 + place % columns * (64 + 4)
            cell = sheet[top : top + 18 + 64, left : left + 64]
            assert np.array_equal(cell[18:], bank.image(bank.by_name(name).index).repeat(4, axis=0).repeat(4, axis=1))
            assert np.array_equal(cell[:18], named_sheet([cell[18:]], [name])[4:22, 4:68])
            ink = np.nonzero((cell[:18] < 128).any(axis=(0, 2)))[0]
            assert 30 < ink.max() < 62  # six digits, and none of them cut off


def test_equal_runs_give_equal_bytes_and_a_second_call_draws_nothing(tmp_path, generator):
    first = run_samples(CONFIG, generator=generator, out=tmp_path / "a", seed=4)
    run_samples(CONFIG, generator=generator, out=tmp_path / "b", seed=4)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.png")}
    assert run_samples(CONFIG, generator=generator, out=tmp_path / "a", seed=4) == first
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.png")}


def test_another_truncation_needs_a_redo(tmp_path, generator):
    out = tmp_path / "3-samples"
    run_samples(CONFIG, generator=generator, out=out, seed=4)
    other = SamplesConfig(num=9, shortlist=4, psi=0.9)
    with pytest.raises(StaleStage, match=r"config\.psi"):
        run_samples(other, generator=generator, out=out, seed=4)
    run_samples(other, generator=generator, out=out, seed=4, redo=True)
    assert SampleBank(out).row(0).psi == 0.9


def test_a_bare_weights_file_serves_as_well_as_its_stage(tmp_path, generator):
    run_samples(CONFIG, generator=generator / FILE, out=tmp_path / "a", seed=4)
    run_samples(CONFIG, generator=generator, out=tmp_path / "b", seed=4)
    assert (tmp_path / "a" / "samples.json").read_bytes() == (tmp_path / "b" / "samples.json").read_bytes()


@pytest.mark.parametrize("breaking", ["absent stage", "absent weights", "absent file", "damaged weights"])
def test_weights_that_are_missing_or_damaged_leave_no_folder_behind(tmp_path, generator, breaking):
    where = generator
    if breaking == "absent stage":
        where = tmp_path / "nowhere"
    elif breaking == "absent file":
        where = tmp_path / "nowhere.safetensors"
    elif breaking == "absent weights":
        (generator / FILE).unlink()
    else:
        (generator / FILE).write_bytes((generator / FILE).read_bytes()[:200])
    with pytest.raises(BadInput) as caught:
        run_samples(CONFIG, generator=where, out=tmp_path / "3-samples", seed=4)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "3-samples").exists()


def test_a_bank_that_was_stopped_halfway_goes_on_where_it_was(tmp_path):
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    fill_bank(FakeGenerator(), CONFIG, out=whole, seed=2)
    failing = FakeGenerator()
    failing.spoil = lambda image: image if failing.num_rendered <= 5 else image * float("nan")
    with pytest.raises(BadInput, match="sample 5"):
        fill_bank(failing, CONFIG, out=halved, seed=2)
    assert not (halved / "samples.json").exists()
    resumed = FakeGenerator()
    fill_bank(resumed, CONFIG, out=halved, seed=2)
    assert resumed.num_rendered == 4
    assert tree(halved) == tree(whole)


def test_an_image_that_vanished_before_the_end_is_drawn_again(tmp_path):
    fill_bank(FakeGenerator(), CONFIG, out=tmp_path / "a", seed=2)
    before = tree(tmp_path / "a")
    for name in ("samples.json", "images/000003.png"):
        (tmp_path / "a" / name).unlink()
    fill_bank(FakeGenerator(), CONFIG, out=tmp_path / "a", seed=2)
    assert tree(tmp_path / "a") == before


@pytest.mark.parametrize("damaged", ["", '{"row"', "{}", '{"row": {}, "z": "", "w": ""}', '{"row": {"seed": 1}, "z": "zz", "w": 3}'])
def test_a_sample_whose_part_cannot_be_read_is_drawn_again(tmp_path, damaged):
    fill_bank(FakeGenerator(), CONFIG, out=tmp_path / "a", seed=2)
    before = tree(tmp_path / "a")
    (tmp_path / "a" / "samples.json").unlink()
    (tmp_path / "a" / "parts" / "000003.json").write_text(damaged)
    fill_bank(FakeGenerator(), CONFIG, out=tmp_path / "a", seed=2)
    assert tree(tmp_path / "a") == before


def test_fewer_images_than_the_shortlist_asks_for_are_all_listed(tmp_path):
    fill_bank(FakeGenerator(), SamplesConfig(num=2, shortlist=36), out=tmp_path, seed=0)
    assert sorted(read_shortlist(tmp_path)) == ["000000", "000001"]


def test_samples_drawn_at_random_are_none_of_the_shortlist_and_change_nothing_else(tmp_path):
    config = SamplesConfig(num=9, shortlist=4, random=3)
    fill_bank(FakeGenerator(), CONFIG, out=tmp_path / "without", seed=2)
    fill_bank(FakeGenerator(), config, out=tmp_path / "with", seed=2)
    drawn = read_random(tmp_path / "with")
    assert len(set(drawn)) == 3
    assert not set(drawn) & set(read_shortlist(tmp_path / "with"))
    assert set(drawn) <= {row.name for row in SampleBank(tmp_path / "with").rows}
    assert read_random(tmp_path / "without") == ()
    differing = {name for name, data in tree(tmp_path / "with").items() if tree(tmp_path / "without").get(name) != data}
    assert differing == {"shortlist.json", "random.png"}
    assert read_shortlist(tmp_path / "with") == read_shortlist(tmp_path / "without")
    with pytest.raises(BadInput, match="cannot be read as a shortlist"):
        read_random(tmp_path / "nowhere")


def test_settings_without_a_random_draw_are_recorded_as_before_it_existed():
    assert SamplesConfig().recorded() == {"num": 500, "psi": 0.7, "shortlist": 36}
    assert SamplesConfig(random=16).recorded() == {"num": 500, "psi": 0.7, "shortlist": 36, "random": 16}
    with pytest.raises(ValidationError, match="6 images, and 5 of 9 are not on the shortlist"):
        SamplesConfig(num=9, shortlist=4, random=6)


SCRIPT = """
import sys, pathlib
from hdgan.plots.sheets import named_sheet
from hdgan.samples.config import SamplesConfig
from hdgan.samples.stage import run_samples
run_samples(SamplesConfig(num=40, shortlist=4), generator=pathlib.Path(sys.argv[1]), out=pathlib.Path(sys.argv[2]), seed=4)
"""


def start(generator: Path, out: Path) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(generator), str(out)], env=environment)


def test_a_run_killed_at_any_moment_resumes_to_the_same_bytes(tmp_path, generator):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(generator, whole).wait(120) == 0
    moments = random.Random(11)
    for _ in range(2):
        process = start(generator, killed)
        begun = len(list(killed.glob("parts/*.json")))
        aim = begun + moments.randint(1, 12)
        deadline = time.monotonic() + 60
        while len(list(killed.glob("parts/*.json"))) < aim and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(moments.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert not (killed / "manifest.json").exists()
    assert start(generator, killed).wait(120) == 0
    assert tree(killed) == tree(whole)


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "changed"])
def test_a_redo_draws_an_image_again_that_was_lost_or_changed(tmp_path, generator, is_lost):
    out = tmp_path / "3-samples"
    run_samples(CONFIG, generator=generator, out=out, seed=4)
    before, image = tree(out), out / "images" / "000003.png"
    if is_lost:
        image.unlink()
    else:
        Image.new("RGB", (16, 16)).save(image)
    run_samples(CONFIG, generator=generator, out=out, seed=4)
    assert verify(out) != []
    run_samples(CONFIG, generator=generator, out=out, seed=4, redo=True)
    assert tree(out) == before
