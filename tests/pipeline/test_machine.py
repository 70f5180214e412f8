from __future__ import annotations

import os

import pytest

from hdgan.pipeline import machine
from hdgan.pipeline.machine import memory_bytes, memory_limits
from hdgan.store.atomic import write_text


def limits(tmp_path, own: str, **files: str) -> list[float]:
    write_text(tmp_path / "own", own)
    for path, text in files.items():
        write_text(tmp_path / "groups" / path, text)
    return memory_limits(tmp_path / "groups", own=tmp_path / "own")


def test_limits_of_the_groups_above_count_too_and_a_group_without_one_does_not(tmp_path):
    files = {"memory.max": "max\n", "jobs/memory.max": "3000\n", "jobs/mine/memory.max": "5000\n", "others/memory.max": "1\n"}
    assert sorted(limits(tmp_path, "0::/jobs/mine\n", **files)) == [3000, 5000]


def test_the_first_version_of_control_groups_has_a_folder_of_its_own_for_memory(tmp_path):
    files = {"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/a/memory.limit_in_bytes": "7000\n", "cpu/a/memory.max": "1\n"}
    assert sorted(limits(tmp_path, "8:cpu:/a\n4:memory:/a\n0::/\n", **files)) == [7000, 9223372036854771712]


def test_within_a_container_whose_path_is_that_outside_the_top_is_read(tmp_path):
    assert limits(tmp_path, "0::/docker/0123\n", **{"memory.max": "2000\n"}) == [2000]


def test_where_there_are_no_groups_there_is_no_limit(tmp_path):
    assert memory_limits(tmp_path, own=tmp_path / "absent") == []
    assert limits(tmp_path, "no line of ours\n\n0::/\n") == []


def test_the_least_of_machine_and_limits_may_be_taken(monkeypatch):
    if not hasattr(os, "sysconf"):
        pytest.skip("the system does not tell")
    physical = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    monkeypatch.setattr(machine, "memory_limits", lambda: [physical / 2, 2 * physical])
    assert memory_bytes() == physical / 2
    monkeypatch.setattr(machine, "memory_limits", list)
    assert memory_bytes() == physical
