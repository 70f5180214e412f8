"""The benchmarks that explain a choice of the design, run as commands at toy size: the rows that they print, and that these fit together."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch

from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import FILE, save_generator
from hdgan.store.layout import RunFolder

from .scripts import loaded, numbers, painted_tiles, printed

SPEC = NetworkSpec(resolution=32, z_dim=8, w_dim=8, channel_base=128, channel_max=8, noise_from_px=32)


@pytest.fixture
def run(tmp_path):
    """The folder of a run with painted tiles and an untrained generator."""
    painted_tiles(RunFolder(tmp_path).folder("tiles"), num=6, size_px=48)
    torch.manual_seed(0)
    save_generator(RunFolder(tmp_path).folder("generator") / FILE, Generator(SPEC), mpp=2.0, trained={"images": 1234})
    return tmp_path


def test_folding_is_told_for_both_ways_of_each_shape_and_type(tmp_path):
    lines = printed("fir_convolutions.py", "--images", 1, "--repeats", 1, "--out", tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["path"] for row in rows] == ["up", "down"] * 6
    assert {row["dtype"] for row in rows} == {"torch.float32", "torch.bfloat16"}
    assert len({(row["path"], tuple(row["shape"]), row["dtype"]) for row in rows}) == len(lines) == 12
    for line, row in zip(lines, rows, strict=True):
        assert row["shape"][0] == 1
        told = numbers(" ".join(re.findall(r"(?:apart|folded|ratio) +([\d.]+)", line)))
        assert told == pytest.approx([row["apart_ms"], row["folded_ms"], row["apart_ms"] / row["folded_ms"]], abs=0.006)


def test_the_latents_share_is_told_for_each_tap_and_the_image(run):
    lines = printed("latent_share.py", RunFolder(run).folder("generator") / FILE, "--latents", 4)
    found = {name: float(share) for name, share in (line.split() for line in lines)}
    assert list(found) == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1", "image"]
    assert all(0 < share <= 1 for share in found.values())


def test_a_layout_that_all_maps_have_in_common_is_no_share_of_the_latent():
    share = loaded("latent_share.py").share
    one = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert share(one.expand(4, -1, -1, -1)) == pytest.approx(0.0, abs=1e-12)
    assert share(torch.cat((one, -one))) == pytest.approx(1.0)
    assert share(torch.cat((one, one + 5.0))) == pytest.approx(0.0, abs=1e-12)


def test_noise_inputs_have_a_row_for_the_real_tiles_and_one_for_each_beginning_and_seed():
    toy = ("--images", 8, "--noise-from", 8, 32, "--seeds", 2, "--compared", 32)
    head, real, *rows = printed("noise_inputs.py", *toy)
    assert re.split(" {2,}", head) == ["noise from", "seed", "patches", "common", "varied"]
    assert real.startswith("real tiles")
    told = [re.fullmatch(r"(8 px|nowhere) +(\d) +([\d. ]+)", row).groups() for row in rows]
    assert [(name, seed) for name, seed, _ in told] == [("8 px", "0"), ("8 px", "1"), ("nowhere", "0"), ("nowhere", "1")]
    patches = numbers(real.removeprefix("real tiles"))[0]
    for *_, figures in told:
        distance, common, varied = numbers(figures)
        assert patches < distance < math.inf  # eight images teach nothing
        assert min(common, varied) >= 0


def test_a_common_layout_is_told_from_a_varied_one():
    script = loaded("noise_inputs.py")
    images = np.zeros((6, 3, 16, 16), np.uint8)
    images[:, :, :8] = 100
    assert script.common(images) == pytest.approx(50.0**2)
    assert script.varied(images) == 0
    images[::2] = images[::2, :, ::-1]
    assert script.common(images) == pytest.approx(0.0)
    assert script.varied(images) == pytest.approx(50.0**2)


def test_samples_have_a_row_for_the_real_tiles_and_two_for_each_generator(run):
    file = RunFolder(run).folder("generator") / FILE
    own = printed("sample_distance.py", run, "--num", 24)
    assert own[0].split() == ["images", "psi", "patches", "x1", "x2", "x4", "stains"]
    floor = numbers(own[1].removeprefix("real tiles"))
    for line, psi in zip(own[2:], (1.0, 0.7), strict=True):
        assert line.startswith("1,234 ")
        told, *distances, _ = numbers(line.removeprefix("1,234"))
        assert told == psi
        assert all(math.inf > distance > least for distance, least in zip(distances, floor, strict=False))
    assert printed("sample_distance.py", run, file, file, "--num", 24) == [*own, *own[2:]]


def test_sharing_is_told_beside_another_number_of_threads():
    lines = printed("shared_training.py", "--steps", 1, "--processes", 2)
    assert [line.split(":")[0] for line in lines] == ["two threads", "2 processes"]
    for line in lines:
        largest, median = (float(number) for number in re.findall(r"(?:most|median) ([\d.e+-]+),", line))
        assert 0 <= median <= largest < 0.05
        assert "the same bits in all" in line
        assert all(float(seconds) > 0 for seconds in re.findall(r"([\d.]+) s", line))
