from __future__ import annotations

import pytest

import hdgan


def test_every_public_name_is_there_and_is_documented():
    for name in dir(hdgan):
        assert getattr(hdgan, name) is not None
        assert name == "__version__" or getattr(hdgan, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = hdgan.magic
