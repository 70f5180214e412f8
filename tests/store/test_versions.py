from __future__ import annotations

from importlib import metadata

import pytest

from hdgan.store.versions import installed_version, own_version


def test_versions_are_those_that_importlib_reads():
    names = {name for found in metadata.distributions() if (name := found.metadata["Name"])}
    assert {"hdgan", "numpy", "pillow"} <= {name.lower() for name in names}
    for name in sorted(names):
        assert installed_version(name) == metadata.version(name)
    assert own_version() == metadata.version("hdgan")


def test_what_is_not_installed_has_none(monkeypatch):
    assert installed_version("no-such-package-of-ours") is None
    monkeypatch.setattr("hdgan.store.versions.installed_version", lambda _: None)
    with pytest.raises(metadata.PackageNotFoundError):
        own_version()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_description_that_speaks_of_versions_is_not_read(tmp_path, monkeypatch, newline):
    folder = tmp_path / "painted_one-3.1.dist-info"
    folder.mkdir()
    text = newline.join(("Metadata-Version: 2.1", "Name: painted-one", "version: 3.1", "", "Version: 9.9"))
    (folder / "METADATA").write_bytes(text.encode())
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_version("painted-one") == "3.1"


def test_what_states_its_version_otherwise_is_asked_of_importlib(tmp_path, monkeypatch):
    (tmp_path / "painted_two-1.0.dist-info").mkdir()
    (tmp_path / "painted_two-1.0.dist-info" / "METADATA").write_text("Name: painted-two\nVersion :1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    kind = type(metadata.distribution("painted-two"))  # importlib_metadata, where something imported it, finds in importlib's place
    monkeypatch.setattr(kind, "version", property(lambda _: "from importlib"))
    assert installed_version("painted-two") == "from importlib"
