"""The rules of the house, so that they need nobody to remember them."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MAX_FILE = 400
MAX_NETWORK_FILE = 500
MAX_FUNCTION = 60
MAX_LOOP = 200
LOOPS = {"generator/train.py:train", "classifier/fit.py:fit_member", "downstream/fit.py:fit"}
VAGUE = {"utils", "util", "misc", "common", "helpers", "helper"}
UNSAFE_MODULES = {"pickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile"}


def name(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "hdgan").as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_is_short_enough_to_be_read_at_once(path):
    limit = MAX_NETWORK_FILE if path.stem.startswith("networks") else MAX_FILE
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_function_does_one_thing(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            limit = MAX_LOOP if f"{name(path)}:{node.name}" in LOOPS else MAX_FUNCTION
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= limit, node.name


def test_no_module_has_a_name_that_says_nothing():
    assert [name(path) for path in SOURCES if VAGUE & {path.stem, *path.relative_to(ROOT).parts}] == []


def test_packages_hold_nothing_but_their_docstring():
    for path in SOURCES:
        if path.name != "__init__.py" or path.parent.name == "hdgan":
            continue
        (statement,) = ast.parse(path.read_text()).body
        assert isinstance(statement, ast.Expr), path


def test_nothing_stored_can_run_code():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            imported = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom):
                imported = {(node.module or "").split(".")[0]}
            assert not imported & UNSAFE_MODULES, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in UNSAFE_CALLS | {"torch.load"}, f"{path}:{node.lineno}"
                assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords), path


def test_only_the_command_line_prints():
    for path in SOURCES:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not prints or name(path).startswith("cli/"), path


def test_everything_public_says_what_it_is():
    silent = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        for node in [tree, *tree.body]:
            is_definition = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if (is_definition or node is tree) and not ast.get_docstring(node):
                silent.append(f"{name(path)}:{getattr(node, 'name', '')}")
    assert silent == []


def test_a_test_cannot_reach_the_network():
    with socket.socket() as door, pytest.raises(RuntimeError, match="tried to reach"):
        door.connect(("192.0.2.1", 80))
