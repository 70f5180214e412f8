from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hdgan.generator import layers
from hdgan.generator.losses import r1_penalty
from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.ops import bands
from hdgan.generator.phases import train_step
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import new_state

from ..generator.conftest import fill, statistics

FOLDER = Path(__file__).parents[2] / "benchmarks" / "generator"


@pytest.fixture(autouse=True)
def neighbours(monkeypatch):
    """What the scripts import beside them."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.syspath_prepend(FOLDER.parent)


def module(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, found)  # dataclasses look for the module that they are in
    spec.loader.exec_module(found)
    return found


def test_the_plain_formulas_meet_the_published_fingerprints():
    """Otherwise the ratio would be to something else."""
    spec = NetworkSpec(resolution=32, z_dim=64, w_dim=64, channel_base=1024, channel_max=64)
    G, D = Generator(spec), Discriminator(spec)
    fill(G)
    fill(D)
    z = torch.from_numpy(np.random.RandomState(0).randn(4, 64)).float()
    with module("plain").plain(), torch.no_grad():
        image = G(z)
        logits = D(image)
    assert statistics(image) == pytest.approx([0.6391351, 1.1407766, -0.5216894, -0.9593031, -0.0543810], abs=2e-5)
    assert logits.flatten().tolist() == pytest.approx([0.212912, -0.132449, -0.130556, -0.032526], abs=1e-4)
    torch.testing.assert_close(G(z), image, rtol=0, atol=1e-5)
    with module("plain").plain():
        penalty = r1_penalty(D, image)
    assert penalty.tolist() == pytest.approx([0.00324993, 0.000973616, 0.00203241, 0.00216764], rel=1e-3)


def test_the_plain_formulas_stay_what_they_are_where_no_gradient_is_wanted():
    """The fast layers then write over their maps and go in bands; the reference must not."""
    with torch.no_grad():
        assert bands.is_drawing()
        with module("plain").plain():
            assert not bands.is_drawing()


TINY = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4, "mapping_layers": 1}


@pytest.mark.parametrize("way", ["plain", "fast"])
def test_images_are_drawn_in_float32_and_without_gradients_however_the_network_trains(way, monkeypatch):
    layer = layers.SynthesisLayer.forward
    seen = set()

    def watched(self, x, w, **named):
        y = formula(self, x, w, **named)
        seen.add((x.dtype, y.dtype, torch.is_grad_enabled(), bands.is_drawing()))
        return y

    spec = NetworkSpec(resolution=16, low_precision="bfloat16", num_low_precision=16, **TINY)
    assert {block.dtype for block in Generator(spec).synthesis.children()} > {torch.bfloat16}
    with module("plain").plain() if way == "plain" else contextlib.nullcontext():
        formula = layers.SynthesisLayer.forward
        assert (formula is layer) == (way == "fast")
        monkeypatch.setattr(layers.SynthesisLayer, "forward", watched)
        timed = module("timing").time_drawing(spec, num=2)
        monkeypatch.undo()
    assert seen == {(torch.float32, torch.float32, False, way == "fast")}
    assert timed.num_steps == 2
    assert set(timed.flop) == {"float32"}
    assert timed.images_per_second > 0


def settings(**changes):
    return TrainSettings(kimg=1.0, batch=2, gamma=1.0, augment="none", path_interval=2, r1_interval=4, **changes)


@pytest.mark.parametrize("changes", [{}, {"path_weight": 0.0}, {"recompute_from_px": 8}])
def test_what_a_cycle_of_steps_computes_is_what_its_kinds_add_up_to(changes):
    """Mixing is off: it draws one latent more in some steps."""
    timing = module("timing")
    spec, how = NetworkSpec(resolution=16, low_precision="bfloat16", num_low_precision=1, **TINY), settings(mixing=0.0, **changes)
    real = timing.random_images(how, spec, "cpu")
    timed = timing.time_training(new_state(spec, how), real, how, num_steps=5)
    assert timed.num_steps == 5
    state = new_state(spec, how)
    with timing.Counted() as counted:
        for _ in range(4):
            train_step(state, real, how)
    assert set(timed.flop) == {"float32", "bfloat16"}
    for precision, flop in timed.flop.items():
        assert flop * 8 == pytest.approx(counted.flop[precision], rel=1e-6)
    assert timed.bytes * 8 == pytest.approx(counted.bytes, rel=0.01)  # the step that makes Adam's moments is counted as any other


def test_steps_end_after_the_seconds_but_not_before_each_kind_was_seen():
    timing = module("timing")
    spec, how = NetworkSpec(resolution=16, **TINY), settings()
    timed = timing.time_training(new_state(spec, how), timing.random_images(how, spec, "cpu"), how, num_steps=50, seconds=0.0)
    assert timed.num_steps == 3  # both penalties, none, path lengths alone
    assert timing.kinds_of_a_cycle(how) == {(True, True): 1, (False, False): 2, (True, False): 1}


def test_shares_are_those_of_the_time_at_the_machines_rates():
    timing = module("timing")
    timed = timing.Timed(images_per_second=10.0, num_steps=1, flop={"float32": 2e9, "bfloat16": 8e9}, bytes=5e8)
    reached = timing.shares(timed, {"float32": 1e11, "bfloat16": 4e11, "copy": 1e10})
    assert reached == {"product": pytest.approx(0.4), "copy": pytest.approx(0.5)}


def test_the_benchmark_prints_a_ratio_for_each_way(tmp_path):
    tiny = ["--resolutions", "16", "--channel-base", "64", "--channel-max", "8", "--batch", "4", "--threads", "1"]
    command = [
        sys.executable,
        str(FOLDER / "speed.py"),
        *tiny,
        "--steps",
        "1",
        "--samples",
        "1",
        "--rounds",
        "1",
        "--out",
        str(tmp_path / "speed.json"),
    ]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = json.loads((tmp_path / "speed.json").read_text())
    trained, drawn = rows[:4], rows[4:]
    assert [row["way"] for row in trained] == ["plain float32", "fast float32", "fast bfloat16", "recomputed bfloat16"]
    assert [row["way"] for row in drawn] == ["plain", "fast"]
    assert {(row["part"], row["batch"]) for row in rows} == {("train", 4), ("draw", 1)}
    *lines, rates = printed.splitlines()
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        base = (trained if row["part"] == "train" else drawn)[0]
        assert f"({row['images_per_second'] / base['images_per_second']:4.2f} x)" in line
        share = row["bytes"] / row["rates"]["copy"] * row["images_per_second"]
        assert f"{share:4.0%} of the copy rate  (1 timed)" in line
        assert row["images_per_second"] > 0
        assert row["peak_mib"] > 0
        assert all(row["rates"][precision] > 0 for precision in row["flop"])
    assert trained[3]["flop"]["bfloat16"] > trained[2]["flop"]["bfloat16"]  # blocks computed twice count twice
    assert all(name in rates for name in ("products in float32", "products in bfloat16", "copies"))


def test_a_way_that_does_not_fit_is_told_and_the_others_are_measured(monkeypatch, capsys):
    speed = module("speed")
    found = {"images_per_second": 3.0, "num_steps": 1, "flop": {}, "bytes": 0.0, "peak_mib": 512.0, "rates": {"copy": 1.0}}
    calls = []

    def in_a_process(part, way, resolution, options):
        calls.append(way)
        return {"failed": "CUDA out of memory"} if way == "plain float32" else dict(found)

    monkeypatch.setattr(speed, "_in_a_process", in_a_process)
    options = argparse.Namespace(ways=["plain float32", "fast bfloat16"], rounds=2, device="cuda", batch=1)
    rows = speed.compare("train", 4096, options)
    assert calls == ["plain float32", "fast bfloat16", "fast bfloat16"]
    assert rows[0]["failed"]
    first, second = capsys.readouterr().out.splitlines()
    assert "does not fit: CUDA out of memory" in first
    assert "3.00 images/s" in second
    assert "0.50 GiB" in second


def test_the_best_of_two_rounds_has_the_best_rates_of_both():
    a = {"images_per_second": 3.0, "peak_mib": 9.0, "rates": {"copy": 1.0, "float32": 5.0}}
    b = {"images_per_second": 2.0, "peak_mib": 8.0, "rates": {"copy": 2.0, "float32": 4.0}}
    best = {"images_per_second": 3.0, "peak_mib": 8.0, "rates": {"copy": 2.0, "float32": 5.0}}
    better = module("speed").better
    assert better(a, b) == better(b, a) == best
