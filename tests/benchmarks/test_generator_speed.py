from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hdgan.generator.losses import r1_penalty
from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.spec import NetworkSpec

from ..generator.conftest import fill, statistics

FOLDER = Path(__file__).parents[2] / "benchmarks" / "generator"


def module(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
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


def test_the_benchmark_prints_a_ratio_for_each_way(tmp_path):
    tiny = ["--resolutions", "16", "--channel-base", "64", "--channel-max", "8", "--batch", "4", "--steps", "1", "--samples", "1"]
    command = [sys.executable, str(FOLDER / "speed.py"), *tiny, "--rounds", "1", "--out", str(tmp_path / "speed.json")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = json.loads((tmp_path / "speed.json").read_text())
    assert [row["way"] for row in rows] == ["plain float32", "fast float32", "fast bfloat16", "recomputed bfloat16"]
    lines = printed.splitlines()
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        for measure in ("trained", "drawn"):
            assert f"({row[measure] / rows[0][measure]:.2f} x)" in line
    assert all(row["trained"] > 0 and row["drawn"] > 0 and row["peak_mib"] > 0 for row in rows)
