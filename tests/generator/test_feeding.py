from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch

from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.feeding import Feeder, waiting
from hdgan.progress import Silent

TILES = ArrayTiles(np.random.default_rng(0).integers(0, 255, (12, 24, 24, 3), dtype=np.uint8))
CROPS = Crops(TILES, chosen=range(12), size_px=16, seed=3)


class Heard(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def fed(clock, *, num, progress):
    """The batches of `num` steps, four crops each."""
    with Feeder(CROPS, range(4), torch.device("cpu"), batch=4, progress=progress, clock=clock) as feeder:
        feeder.begin(8)
        return [feeder.take(8 + 4 * step) for step in range(num)]


def timed(*, waits, works):
    """A clock by which every batch is waited for `waits` seconds and trained on `works` seconds: it is read twice at the first batch, then three times."""
    yield from (0.0, waits)
    for step in count(1):
        begun = step * (waits + works)
        yield from (begun, begun + waits, begun + waits)


def test_batches_come_in_their_order_and_once_each():
    found = torch.stack(fed(lambda: 0.0, num=5, progress=Heard()))
    assert torch.equal(found, torch.from_numpy(np.stack([CROPS.batch(8 + 4 * step, 4) for step in range(5)])))


def test_a_training_that_waits_for_its_tiles_is_told_once():
    heard = Heard()
    fed(timed(waits=0.5, works=2.0).__next__, num=200, progress=heard)
    assert len(heard.lines) == 1
    assert heard.lines[0].startswith("20% of the time so far the training waited for its tiles")


@pytest.mark.parametrize(("waits", "num"), [(0.2, 200), (5.0, 8)], ids=["seldom", "not long enough to tell"])
def test_a_training_that_seldom_waits_or_has_just_begun_is_told_nothing(waits, num):
    heard = Heard()
    fed(timed(waits=waits, works=2.0).__next__, num=num, progress=heard)
    assert heard.lines == []


def test_a_tile_that_cannot_be_read_ends_the_training_there():
    class Broken(ArrayTiles):
        def read(self, index):
            raise OSError("the disk is gone")

    crops = Crops(Broken(TILES.array), chosen=range(12), size_px=16, seed=3)
    with Feeder(crops, range(4), torch.device("cpu"), batch=4, progress=Heard()) as feeder:
        feeder.begin(0)
        with pytest.raises(OSError, match="the disk is gone"):
            feeder.take(0)


@pytest.mark.parametrize(("device", "is_pinned"), [("cpu", False), ("cuda", True)])
def test_a_batch_waits_in_pinned_memory_where_a_gpu_trains(device, is_pinned, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self.shape) or self)  # needs a GPU
    crops = Crops(TILES, chosen=range(12), size_px=16, seed=3)
    images = waiting(crops, 8, range(4), torch.device(device))
    assert bool(pinned) == is_pinned
    assert torch.equal(images, torch.from_numpy(crops.batch(8, 4)))
