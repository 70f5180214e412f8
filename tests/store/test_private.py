from __future__ import annotations

import os
import stat

import pytest

from hdgan.store import private
from hdgan.store.private import create_private, is_open_to_others

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")


@pytest.fixture
def _open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_umask")
def test_a_private_file_is_for_its_owner_alone_whatever_the_umask(tmp_path):
    path = tmp_path / "new" / "key"
    assert create_private(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not is_open_to_others(path)
    assert list(path.parent.iterdir()) == [path]
    path.chmod(0o640)
    assert is_open_to_others(path)


def test_a_file_that_is_there_stays_as_it_is(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"old")
    assert not create_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_before_its_name_is_given_it_leaves_no_file_of_that_name(tmp_path, monkeypatch):
    def stopping(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(private.os, "link", stopping)
    with pytest.raises(KeyboardInterrupt):
        create_private(tmp_path / "key", b"secret")
    assert list(tmp_path.iterdir()) == []
