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
LOOPS = {"generator/train.py:train", "classifier/fit.py:fit_member"}
VAGUE = {"utils", "util", "misc", "common", "helpers", "helper"}
UNSAFE_MODULES = {"pickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile"}
WRITING_METHODS = {"write_text", "write_bytes", "savefig", "tofile", "imwrite"}
WRITERS = {
    "np.save",
    "np.savez",
    "np.savez_compressed",
    "torch.save",
    "save_file",
    "TiffWriter",
    "os.replace",
    "os.rename",
    "shutil.copyfile",
}


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


def test_every_loop_that_may_be_long_exists():
    found = {
        f"{name(path)}:{node.name}" for path in SOURCES for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    }
    assert found >= LOOPS


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
                assert not (node.module == "torch" and "load" in {alias.name for alias in node.names}), path
            assert not imported & UNSAFE_MODULES, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in UNSAFE_CALLS | {"torch.load"}, f"{path}:{node.lineno}"
                assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords), path


def test_only_the_store_puts_bytes_on_a_disk():
    """Elsewhere a library may write into what `replacing` gives it, within that block."""
    found = []
    for path in SOURCES:
        if path.is_relative_to(ROOT / "src" / "hdgan" / "store"):
            continue
        tree = ast.parse(path.read_text())
        blocks = [node for node in ast.walk(tree) if isinstance(node, ast.With) and "replacing(" in ast.unparse(node.items[0])]
        within = {id(node) for block in blocks for node in ast.walk(block)}
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in within]
        found += [f"{name(path)}:{call.lineno} {ast.unparse(call.func)}" for call in calls if _writes(call)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "is_writing"),
    [
        ("path.write_text('x')", True),
        ("open(path, 'w')", True),
        ("path.open('ab')", True),
        ("path.open(mode='r+')", True),
        ("np.save(file, array)", True),
        ("os.replace(a, b)", True),
        ("write_text(path, 'x')", False),
        ("path.open('rb')", False),
        ("open(path)", False),
        ("Image.open(path)", False),
        ("image.save(buffer, format='JPEG')", False),
    ],
)
def test_writing_is_told_from_reading(source, is_writing):
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    assert _writes(statement.value) == is_writing


def _writes(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    if called.split(".")[-1] == "open":
        place = 1 if called == "open" else 0  # the mode is second for the function, first for the method
        modes = [*call.args[place : place + 1], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
        return any(isinstance(mode, ast.Constant) and isinstance(mode.value, str) and set(mode.value) & set("wax+") for mode in modes)
    return called in WRITERS or (isinstance(call.func, ast.Attribute) and call.func.attr in WRITING_METHODS)


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


@pytest.mark.parametrize("way", ["connect", "connect_ex"])
def test_a_test_cannot_reach_the_network(way):
    with socket.socket() as door, pytest.raises(RuntimeError, match="tried to reach"):
        getattr(door, way)(("192.0.2.1", 80))
