"""No test reaches the network, whatever it imports."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import settings

from tests.small_run import small_run  # noqa: F401 - a fixture for several packages

# No example has a time limit: on a busy machine any takes longer than the fifth of a second that hypothesis allows, and speed is no test of ours.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_collection_modifyitems(items):
    """The files with the longest tests first, so that no process is left with one at the end while the others have nothing to do."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(connect):
    def guarded(self, address):
        if isinstance(address, tuple) and not _is_local(str(address[0])):
            raise RuntimeError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    return guarded


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
