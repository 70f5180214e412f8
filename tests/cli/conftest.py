from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from hdgan.cli import main as command


@pytest.fixture
def hdgan(monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """Calls the command; gives exit code, standard output and standard error, with what worker processes and C libraries write there."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hdgan", *map(str, arguments)])
        code = 0
        try:
            command.main()
        except SystemExit as end:
            code = int(end.code or 0)
        written = capfd.readouterr()
        return code, written.out, written.err

    return call


@pytest.fixture
def refused(hdgan) -> Callable[..., str]:
    """Calls a command that is refused; gives its one line."""

    def call(*arguments: object) -> str:
        code, _, error = hdgan(*arguments)
        assert code == 2
        assert error.startswith("hdgan: ")
        assert error.count("\n") == 1
        return error

    return call
