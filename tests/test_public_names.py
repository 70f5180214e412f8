from __future__ import annotations

import subprocess
import sys

import pytest

import hdgan


@pytest.mark.parametrize("name", hdgan.__all__)
def test_a_public_name_is_where_it_is_said_to_be(name):
    assert getattr(hdgan, name).__doc__ or name == "KIDNEY"
    assert name in dir(hdgan)


def test_an_unknown_name_is_refused_as_python_does():
    with pytest.raises(AttributeError, match="has no attribute 'load_pickle'"):
        _ = hdgan.load_pickle


def test_importing_the_package_imports_nothing_of_it():
    code = "import sys, hdgan; found = [m for m in sys.modules if m.startswith('hdgan.')]; assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
