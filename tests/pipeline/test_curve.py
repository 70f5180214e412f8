from __future__ import annotations

import json

import numpy as np
import pytest

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.pipeline.curve import stats_of, write_curve
from hdgan.store.atomic import read_image

ROWS = [
    {"images": 1000, "ada_p": 0.0, "loss_G": 1.0},
    {"images": 0, "variety": 0.2, "patch_distance": 90.0, "quality": 400.0, "quality_floor": 5.0},
    {"images": 10_000, "variety": 0.6, "patch_distance": 30.0, "quality": 40.0, "quality_floor": 5.0},
    {"images": 10_000, "warning": "p_at_cap"},
    {"images": 20_000, "variety": 0.9, "patch_distance": 20.0, "quality": 60.0, "quality_floor": 5.0},
]


def write_stats(root, rows):
    stats_of(root).parent.mkdir(exist_ok=True)
    stats_of(root).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_curve_has_a_point_for_each_grid_and_names_the_least(tmp_path):
    write_stats(tmp_path, ROWS)
    picture, numbers = write_curve(tmp_path)
    told = json.loads(numbers.read_text())
    assert told["images"] == [0, 10_000, 20_000]
    assert told["quality"] == [400.0, 40.0, 60.0]
    assert told["variety"] == [0.2, 0.6, 0.9]
    assert told["least"] == {"images": 10_000, "quality": 40.0, "quality_floor": 5.0}
    drawn = read_image(picture)
    write_stats(tmp_path, [*ROWS, {"images": 30_000, "variety": 0.9, "quality": 20.0, "quality_floor": 5.0}])
    write_curve(tmp_path)
    assert not np.array_equal(read_image(picture), drawn)
    assert json.loads(numbers.read_text())["patch_distance"][-1] is None


def test_without_distances_variety_alone_is_drawn(tmp_path):
    write_stats(tmp_path, ROWS)
    wide = read_image(write_curve(tmp_path)[0]).shape
    write_stats(tmp_path, [{"images": 0, "variety": 0.2}, {"images": 5, "variety": 0.3}])
    picture, numbers = write_curve(tmp_path)
    assert read_image(picture).shape[1] < wide[1]
    assert "least" not in json.loads(numbers.read_text())


def test_what_is_no_curve_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        write_curve(tmp_path)
    write_stats(tmp_path, ROWS[:1])
    with pytest.raises(BadInput, match="no grid has been made yet"):
        write_curve(tmp_path)
    stats_of(tmp_path).write_text("{")
    with pytest.raises(DamagedArtifact, match="not ours"):
        write_curve(tmp_path)
    stats_of(tmp_path).write_text('{"variety": 1}\n')
    with pytest.raises(DamagedArtifact, match="without images"):
        write_curve(tmp_path)
