"""Nothing of a foreign file is ever run: each hostile or damaged file is refused at once, with a reason, and leaves no trace."""

from __future__ import annotations

import re
import sys
import time

import pytest

from hdgan.generator.foreign.limits import Refused
from hdgan.generator.foreign.read import read_weights
from tests.generator.foreign import hostile, hostile_archives, hostile_networks
from tests.generator.foreign.writers import networks, official, rosinality

CASES = hostile.CASES | hostile_archives.CASES | hostile_networks.CASES
LIMIT_S = 2.0
HARMLESS = {"sys._getframe", "object.__getattr__", "array.__new__", "builtins.id", "gc.collect"}
_events: list[str] = []
_is_watching = False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _is_watching and event not in HARMLESS:
        _events.append(f"{event} {str(arguments)[:200]}")


sys.addaudithook(_watch)


@pytest.fixture
def watched():
    """Whatever Python reports of running, importing, opening, connecting or deleting while a block runs."""
    from contextlib import contextmanager

    @contextmanager
    def watching():
        global _is_watching
        _events.clear()
        _is_watching = True
        try:
            yield _events
        finally:
            _is_watching = False

    return watching


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """numpy imports parts of itself at first use."""
    read_weights(official(*networks()))
    read_weights(rosinality(networks()[0], with_mean=False))


def test_there_are_many_kinds_of_them():
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_at_once_with_a_reason_and_nothing_is_run(name, watched):
    make, reason = CASES[name]
    data = make()
    begun = time.process_time()  # other work on the machine does not count
    with watched() as events:
        try:
            read_weights(data)
        except Refused as error:
            refusal = str(error)
        else:
            refusal = ""
    # Measuring coverage makes a loop over opcodes several times slower; the limit is for what users run.
    assert time.process_time() - begun < (LIMIT_S if sys.gettrace() is None else 5 * LIMIT_S)
    assert events == []
    assert re.search(reason, refusal), refusal
    assert refusal.isascii()
    assert refusal.isprintable()


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_good_file_runs_nothing_either(protocol, watched):
    data = official(*networks(), protocol=protocol)
    assert b"os.system" in data
    with watched() as events:
        found = read_weights(data)
    assert events == []
    assert found.networks.keys() == {"G_average", "G", "D"}


def test_the_watch_notices_what_a_real_unpickler_would_do(watched, tmp_path):
    import pickle

    make, _ = CASES["calls 'os'.system"]
    data = make().replace(b"touch executed-by-pickle", f"touch {tmp_path}/x".encode().ljust(24)[:24])
    with watched() as events, pytest.raises((pickle.UnpicklingError, EOFError, ValueError)):
        pickle.loads(data[:-1])
    assert any(event.startswith("pickle.find_class") for event in events)
    assert any(event.startswith("os.system") for event in events)
