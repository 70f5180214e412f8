from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from hdgan.slides.memory import RegionMemory, TileCache

SHAPE = (1500, 1000, 3)


def address(array):
    return array.__array_interface__["data"][0]


def test_the_room_of_a_region_is_used_again_once_nobody_holds_it():
    memory = RegionMemory()
    first = memory.array(SHAPE)
    place = address(first)
    del first
    second = memory.array(SHAPE)
    assert address(second) == place
    assert (second.shape, second.dtype, second.flags.writeable) == (SHAPE, np.uint8, True)


@pytest.mark.parametrize(
    "hold", [lambda a: a[5:9, ::2], lambda a: a.reshape(-1)[7:], lambda a: a[0][0].T, memoryview, lambda a: a.view(np.int8)]
)
def test_a_view_keeps_its_region_from_being_overwritten(hold):
    memory = RegionMemory()
    first = memory.array(SHAPE)
    first[...] = 7
    held = hold(first)
    del first
    for _ in range(3):
        memory.array(SHAPE)[...] = 9
    assert (np.asarray(held) == 7).all()


def test_another_size_gets_room_of_its_own():
    memory = RegionMemory()
    memory.array(SHAPE)
    assert memory.array((1500, 1001, 3)).shape == (1500, 1001, 3)


def test_a_cache_keeps_the_tiles_used_last_within_its_bytes():
    cache = TileCache(1000)
    for index in range(5):
        cache.put((0, index), np.full(300, index, np.uint8))
        assert cache.get((0, 0)) is not None  # used again each time, so never the oldest
        assert cache.num_bytes <= 1000
    assert [index for index in range(5) if cache.get((0, index)) is not None] == [0, 3, 4]
    cache.clear()
    assert (cache.num_bytes, cache.get((0, 0))) == (0, None)


def test_a_tile_larger_than_the_cache_is_not_kept():
    cache = TileCache(100)
    cache.put((0, 0), np.zeros(101, np.uint8))
    assert cache.num_bytes == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_a_thread_holds_the_lock_does_not_hang_the_child():
    cache = TileCache(1000)
    cache.put((0, 0), np.zeros(10, np.uint8))
    holds, may_end = threading.Event(), threading.Event()

    def hold():
        with cache._lock:
            holds.set()
            may_end.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if cache.get((0, 0)) is not None else 1)
    _, status = os.waitpid(child, 0)
    may_end.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
