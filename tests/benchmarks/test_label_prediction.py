from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
import torch

from hdgan.classifier.factored import logits_reference

from .scripts import FOLDER, loaded, printed

TINY = ["--resolutions", 64, "--channel-base", 512, "--channel-max", 16, "--blocks", 3, "--hidden", 16, 8, "--rounds", 1, "--threads", 1]


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER / "labels"))
    yield loaded("labels/predict.py")
    sys.path.remove(str(FOLDER / "labels"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Lines and rows of a toy run."""
    out = tmp_path_factory.mktemp("labels") / "rows.json"
    lines = printed("labels/predict.py", *TINY, "--heads", 1, 3, "--scratch", out.parent, "--out", out)
    assert [path.name for path in out.parent.iterdir()] == ["rows.json"]  # the array is gone
    return lines, {(row["way"], row["heads"]): row for row in json.loads(out.read_text())["rows"]}


def test_each_way_has_a_row_with_its_times_and_memory(run):
    _, rows = run
    assert list(rows) == [("ours", 1), ("ours", 3), ("float16", 1), ("published", 1)]
    for row in rows.values():
        assert row["label"]["wall"] > 0
        assert row["label"]["cpu"] > 0
        assert row["memory"]["labelling"] > 0
    theirs = rows["published", 1]
    assert theirs["label"]["wall"] == pytest.approx(theirs["write"]["wall"] + theirs["read"]["wall"])
    channels = 2 * (16 + 16 + 8)
    assert theirs["array_mib"] == channels * 64 * 64 * 4 / 2**20
    assert "array_mib" not in rows["ours", 1]


def test_ours_agrees_with_the_published_way_and_float16_maps_nearly(run):
    _, rows = run
    assert rows["published", 1]["labels_equal"] >= 0.999
    assert rows["published", 1]["largest_difference"] < 1e-5
    assert rows["published", 1]["commonest_label"] < 0.9  # or equal labels would say nothing
    assert 1e-7 < rows["float16", 1]["largest_difference"] < 1e-2


def test_what_is_printed_is_what_the_rows_say(run):
    lines, rows = run
    text = "\n".join(lines)
    ratio = rows["published", 1]["label"]["cpu"] / rows["ours", 1]["label"]["cpu"]
    assert f"{ratio:.1f} times less processor time" in text
    heads = rows["ours", 3]["label"]["cpu"] / rows["ours", 1]["label"]["cpu"]
    assert f"{heads:.2f} times the processor time" in text
    assert re.search(r"\d+% of the \d+ G/s of a large square product", text)
    shares = rows["ours", 1]["stages"]["shares"]
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.02)
    assert all(f"{name} {share:.0%}" in text for name, share in shares.items())


def test_an_array_that_the_disk_cannot_hold_is_refused_before_anything_is_drawn(benchmark, tmp_path):
    with pytest.raises(SystemExit, match=r"the array takes 458\.8 GB, .* free; use --scratch or --array float16"):
        sys.modules["published"].refuse_if_full(tmp_path, num_channels=7_000_000, size=128, dtype="float32")


def test_the_published_way_is_the_reference(benchmark, tmp_path):
    torch.manual_seed(0)
    maps = [torch.randn(3, 8, 8), torch.randn(2, 16, 16)]
    member = benchmark.PixelMlp(5, 4, hidden=(6,), dropout=0.3).eval()
    standardiser = benchmark.Standardiser(torch.randn(5), torch.rand(5) + 0.5)
    plain = logits_reference([member], standardiser, maps, size=16)[0].numpy()
    published = sys.modules["published"]
    with torch.no_grad():
        published.write_array(tmp_path / "a", maps, size=16, dtype="float32")
        labels, kept = published.label(tmp_path / "a", member, standardiser, size=16, dtype="float32")
    np.testing.assert_allclose(kept, plain[:, ::8, ::8], atol=1e-5)
    assert (labels == plain.argmax(axis=0)).all()
