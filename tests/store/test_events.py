from __future__ import annotations

import pytest

from hdgan.errors import MissingExtra
from hdgan.store import events
from hdgan.store.events import Events

ROWS = [{"images": 1000, "loss_G": 0.5, "ada_p": 0.1}, {"images": 1000, "warning": "p_at_cap"}, {"images": 2000, "loss_G": 0.25}]


def points(folder, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return [(point.step, point.value) for point in found.Scalars(name)]


def test_each_number_is_a_point_at_its_images(tmp_path):
    written = Events(tmp_path / "events", ROWS[:2])
    written.add(ROWS[2])
    written.close()
    assert points(tmp_path / "events", "loss_G") == [(1000, 0.5), (2000, 0.25)]


def test_a_training_that_goes_on_shows_one_line_without_what_was_lost(tmp_path):
    first = Events(tmp_path / "events", [])
    for row in (*ROWS, {"images": 3000, "loss_G": 9.0}):  # the last was never part of a saved state
        first.add(row)
    first.close()
    Events(tmp_path / "events", ROWS).close()
    assert points(tmp_path / "events", "loss_G") == [(1000, 0.5), (2000, 0.25)]
    assert len(list((tmp_path / "events").iterdir())) == 1


def test_without_tensorboard_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    def absent(module, *, extra):
        raise MissingExtra(f"{module} is not installed; get it with: pip install 'hdgan[{extra}]'")

    monkeypatch.setattr(events, "require", absent)
    with pytest.raises(MissingExtra, match=r"hdgan\[gan\]"):
        Events(tmp_path / "events", ROWS)
