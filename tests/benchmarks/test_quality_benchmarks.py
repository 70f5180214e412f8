"""The benchmarks of what trainings and measures are worth, run as commands at toy size: the tables that they print."""

from __future__ import annotations

import math
import re

import pytest

from hdgan.store.atomic import read_image
from hdgan.testing.degradations import WAYS

from .scripts import loaded, numbers, painted_tiles, printed


def test_learning_is_told_for_each_resolution_and_seed_with_its_first_and_last_grid(tmp_path):
    toy = ("--resolutions", 16, "--seeds", 0, 1, "--kimg", 0.064, "--snapshots", 2)
    head, *rows = printed("generator/learning.py", *toy, "--grids", tmp_path)
    assert head.split() == ["edge", "seed", "images/s", "first", "last", "floor", "last/first"]
    assert [row.split()[:2] for row in rows] == [["16", "0"], ["16", "1"]]
    for row in rows:
        _, seed, rate, first, last, floor, ratio = numbers(row)
        assert 0 < rate < math.inf
        assert 0 < floor < min(first, last) < math.inf
        assert ratio == pytest.approx(last / first, abs=0.006)
        grids = [read_image(tmp_path / f"16px-seed{seed:.0f}-{name}.png") for name in ("first", "last")]
        assert (grids[0] != grids[1]).any()


def test_both_number_formats_have_a_curve_for_each_seed_and_their_ratio_is_that_of_the_curves():
    toy = ("--resolution", 16, "--seeds", 0, 1, "--kimg", 0.048, "--snapshots", 3)
    head, *rows, ratio, between = printed("generator/precision.py", *toy)
    assert head.split()[:3] == ["seed", "format", "images/s"]
    assert [row.split()[:2] for row in rows] == [["0", "float32"], ["0", "bfloat16"], ["1", "float32"], ["1", "bfloat16"]]
    curves = [numbers(row.split(maxsplit=3)[3]) for row in rows]
    assert all(len(curve) == 3 and min(curve) > 0 for curve in curves)
    assert curves[0] != curves[1]
    logs = [math.log(low / full) for pair in (0, 2) for full, low in zip(curves[pair][1:], curves[pair + 1][1:], strict=True)]
    assert float(ratio.split()[3]) == pytest.approx(math.exp(sum(logs) / len(logs)), abs=0.011)
    assert float(between.rstrip().split()[-1]) >= 1


def test_growing_is_told_for_three_beginnings_of_which_two_draw_the_same_at_first():
    toy = ("--seeds", 0, "--first-kimg", 0.032, "--kimg", 0.064, "--every", 32, "--tiles", 4, "--images", 16)
    floor, *rows = printed("growing.py", *toy)
    found = {name: numbers(told) for name, told in (re.fullmatch(r"seed 0 (from [a-z ]+?) +([\d. ]+)", row).groups() for row in rows)}
    assert list(found) == ["from a state", "from its generator", "from nothing"]
    for distances in found.values():
        assert len(distances) == 1 + 64 // 32
        assert all(float(floor.removeprefix("floor ")) < distance < math.inf for distance in distances)
    assert found["from a state"][0] == found["from its generator"][0] != found["from nothing"][0]
    assert found["from a state"][1:] != found["from its generator"][1:]


@pytest.fixture
def painted(tmp_path):
    """A finished tiles stage of painted tissue, 24 px."""
    return painted_tiles(tmp_path / "1-tiles", num=8, size_px=24)


def test_every_way_of_going_wrong_has_a_row_for_each_strength_and_the_strongest_is_farther_than_none(painted):
    head, embedded, memory, names, _, *rows, verdict = printed("generator_quality.py", painted, "--size", 16, "--num", 64, "--timed", 64)
    assert head.startswith("64 crops of 16 px from 8 tiles;")
    assert embedded.startswith("64 images: embedded in ")
    peak, before = numbers(" ".join(re.findall(r"(\d+) MiB", memory)))
    assert 0 < before <= peak
    told = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(names.strip("|").split("|")) == 8
    assert [(way, float(strength)) for way, strength, *_ in told] == [
        ("none", 0.0),
        *((name, strength) for name, (_, strengths) in WAYS.items() for strength in strengths),
    ]
    assert all(math.isfinite(float(cell)) for row in told for cell in (row[2], *row[3].split(" +- "), *row[4:]))
    frechet = {(way, float(strength)): float(cell) for way, strength, cell, *_ in told}
    by_strength = [[frechet["none", 0.0], *(frechet[name, strength] for strength in strengths)] for name, (_, strengths) in WAYS.items()]
    assert all(distances[-1] > distances[0] for distances in by_strength)
    is_ranked = all(distances == sorted(distances) for distances in by_strength)
    assert verdict == ("every way is ranked by strength" if is_ranked else "NOT every way is ranked by strength")


def test_planted_copies_are_found_and_false_alarms_counted():
    toy = ("--painted", "--tiles", 6, "--size", 32, "--num", 20, "--planted", 2)
    head, limit, alarms, _, _, *rows, verdict, promise = printed("planted_copies.py", *toy)
    assert head == "6 tiles of 64 px, painted; crops of 32 px"
    threshold = float(re.match(r"limit ([\d.]+): 1 % of 20 real crops", limit).group(1))
    false, share, low, high = (
        float(x) for x in re.match(r"false alarms: (\d+) of 20 .*, ([\d.]+)% \(.* ([\d.]+)% to ([\d.]+)%\)", alarms).groups()
    )
    assert low <= share == false / 20 * 100 <= high
    told = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(told) == 8
    for _, found, right, median, largest in told:
        assert found == "2 of 2"
        assert right == "2"
        assert float(median) <= float(largest) < threshold
    assert verdict == "every planted copy is found"
    assert promise == ("false alarms are as many as promised, or fewer" if low <= 1 else "there are MORE false alarms than promised")


def test_a_copy_that_is_not_found_is_said_so(capsys):
    script = loaded("planted_copies.py")
    tiles = script.painted(6, size_px=64)
    away = {"new": lambda x: script.paint(900, size_px=32, mpp=2.0, outline="full", stain="pas").image[None].repeat(len(x), axis=0)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "PLAIN", away)
        patch.setattr(script, "TURNED", {})
        script.tell(tiles, size_px=32, num=20, num_planted=2)
    *_, row, verdict, _ = capsys.readouterr().out.splitlines()
    assert row.startswith("| new | 0 of 2 |")
    assert verdict == "NOT every planted copy is found"
