from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hdgan.errors import BadInput, HdganError, OutOfSpace
from hdgan.progress import Silent
from hdgan.tiles import pool
from hdgan.tiles.crew import INLINE, Crashed, Job, in_order
from hdgan.tiles.pool import ProcessCrew
from tests.tiles import faults

ROOT = Path(__file__).parents[2]


class Listening(Silent):
    def __init__(self):
        self.steps = 0
        self.lines = []

    def advance(self, steps=1, *, note=""):
        assert steps, "a line for nothing"
        self.steps += steps

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def crew():
    with ProcessCrew(2) as found:
        yield found


def job(work, *arguments, steps=0, where="a.svs"):
    return Job(where, work, arguments, steps)


def has_ended(process: int) -> bool:
    for _ in range(200):
        try:
            os.kill(process, 0)
            if Path("/proc/self").exists() and Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True  # a zombie, whom nobody has waited for yet
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_every_job_is_done_once_and_as_it_is_without_workers(crew):
    jobs = [job(faults.double, n, steps=1) for n in range(20)]
    heard = Listening(), Listening()
    found = [in_order(each.run(jobs, progress=ear)) for each, ear in zip((crew, INLINE), heard, strict=True)]
    assert found[0] == found[1]
    assert [outcome.value for outcome in found[0]] == [2 * n for n in range(20)]
    assert [ear.steps for ear in heard] == [20, 20]


@given(
    st.sampled_from(["uint8", "float32", "int64"]).flatmap(
        lambda kind: npst.arrays(kind, npst.array_shapes(max_dims=3, min_side=0, max_side=40))
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_array_arrives_as_it_was_sent(crew, array):
    (outcome,) = crew.run([job(faults.give_back, array[::-1])])
    assert (outcome.value.dtype, outcome.value.shape) == (array.dtype, array.shape)
    assert outcome.value.tobytes() == array[::-1].tobytes()


def test_a_large_array_arrives_whole(crew):
    array = np.arange(3_000_000)
    (outcome,) = crew.run([job(faults.give_back, array)])
    assert np.array_equal(outcome.value, array)


@pytest.mark.skipif(not hasattr(os, "readv"), reason="arrays are sent as all else there")
def test_an_array_whose_sender_ends_on_the_way_is_the_end_of_the_sender():
    ours, theirs = Pipe()
    theirs.send(("array", (3,), "<i8"))
    os.write(theirs.fileno(), b"12345")
    theirs.close()
    with pytest.raises(EOFError):
        pool._received(ours)
    ours.close()


def test_the_workers_work_at_the_same_time_and_what_they_say_is_heard(crew, tmp_path):
    ear = Listening()
    values = {outcome.value for outcome in crew.run([job(faults.tell_process, tmp_path) for _ in range(8)], progress=ear)}
    assert len(values) == 2
    assert os.getpid() not in values
    assert ear.lines == ["here"] * 8


def test_no_more_workers_start_than_there_are_jobs(tmp_path):
    with ProcessCrew(8) as many:
        (outcome,) = many.run([job(faults.tell_process, tmp_path)])
    assert has_ended(outcome.value)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_worker_that_is_killed_costs_no_job(crew, tmp_path):
    ear = Listening()
    jobs = [job(faults.die_once, tmp_path / "mark", steps=2), *(job(faults.double, n, steps=1) for n in range(3))]
    assert [outcome.value for outcome in in_order(crew.run(jobs, progress=ear))] == ["done", 0, 2, 4]
    assert ear.lines == ["a.svs: the process that read it was ended by signal 9 (SIGKILL); it is tried once more"]
    assert ear.steps == 5


@pytest.mark.parametrize(
    ("work", "argument", "death", "remedy"),
    [
        (faults.die, signal.SIGSEGV, "was ended by signal 11 (SIGSEGV), 2 times", "its reader crashes"),
        (faults.die, signal.SIGKILL, "was ended by signal 9 (SIGKILL), 2 times", "memory may have been short"),
        (faults.leave, 7, "ended with 7, 2 times", "its reader crashes"),
    ],
)
def test_a_job_that_ends_its_process_each_time_is_the_only_one_that_fails(crew, work, argument, death, remedy):
    ear = Listening()
    outcomes = in_order(crew.run([job(work, argument, steps=9, where="bad.svs"), job(faults.double, 4, steps=1)], progress=ear))
    assert outcomes[1].value == 8
    problem = outcomes[0].problem
    assert isinstance(problem, Crashed)
    assert problem.where == "bad.svs"
    assert death in str(problem)
    assert remedy in problem.remedy
    assert ear.steps == 10


def test_a_worker_that_says_nothing_is_ended_and_its_job_alone_fails(tmp_path):
    ear = Listening()
    jobs = [job(faults.hang, tmp_path / "mark", steps=9, where="bad.svs"), *(job(faults.double, n, steps=1) for n in range(3))]
    with ProcessCrew(2, max_silence_s=1.5) as crew:
        first, *others = in_order(crew.run(jobs, progress=ear))
    assert [outcome.value for outcome in others] == [0, 2, 4]
    assert isinstance(first.problem, Crashed)
    death = "the process that read it made no progress for 1.5 s and was ended"
    assert str(first.problem).startswith(f"bad.svs: {death}, 2 times; its reader or the disk hangs")
    assert ear.lines == [f"bad.svs: {death}; it is tried once more"]
    assert (tmp_path / "mark").read_text() == "xx"
    assert ear.steps == 12


def test_work_without_steps_that_gives_signs_of_life_is_left_alone():
    with ProcessCrew(1, max_silence_s=2) as crew:
        (outcome,) = crew.run([job(faults.work_slowly, 4)])
    assert outcome.value == "done"


def test_time_in_which_nobody_listened_is_no_silence(monkeypatch):
    with ProcessCrew(1, max_silence_s=60) as crew:
        outcomes = crew.run([job(faults.double, 1), job(faults.work_slowly, 1)])
        assert next(outcomes).value == 2
        looks = iter(range(1, 10**6))
        monkeypatch.setattr(pool.time, "monotonic", lambda: 1000.0 * next(looks))  # hours between any two looks at the clock
        assert next(outcomes).value == "done"


def test_a_worker_that_never_gets_ready_is_no_fault_of_the_slide(monkeypatch):
    monkeypatch.setattr(pool, "serve", faults.hang_at_start)
    monkeypatch.setattr(pool, "_STARTS_WITHIN_S", 1.5)
    with ProcessCrew(1, max_silence_s=1) as crew, pytest.raises(HdganError, match=r"could not start .it said nothing for 1\.5 s"):
        list(crew.run([job(faults.double, 1)]))


@pytest.mark.parametrize("each", ["crew", "inline"])
def test_what_is_wrong_with_a_slide_comes_back_as_it_was_raised(crew, each):
    (outcome,) = (crew if each == "crew" else INLINE).run([job(faults.refuse, "input")])
    assert type(outcome.problem) is BadInput
    assert (outcome.problem.where, outcome.problem.what, outcome.problem.remedy) == ("a.svs", "is broken", "mend it")


@pytest.mark.parametrize("each", ["crew", "inline"])
def test_what_nobody_foresaw_costs_the_slide_too_and_says_where(crew, each):
    (outcome,) = (crew if each == "crew" else INLINE).run([job(faults.refuse, "else")])
    assert "fails in an unforeseen way (ZeroDivisionError('never') at faults.py:" in str(outcome.problem)


@pytest.mark.parametrize(("kind", "expected"), [("full", OutOfSpace), ("folder", PermissionError)])
def test_what_concerns_all_ends_all(crew, kind, expected, tmp_path):
    jobs = [job(faults.refuse, kind), job(faults.sleep_long, tmp_path)]
    began = time.monotonic()
    with pytest.raises(expected):
        list(crew.run(jobs))
    assert time.monotonic() - began < 30
    assert all(has_ended(int(entry.name)) for entry in tmp_path.iterdir())
    assert next(crew.run([job(faults.double, 1)])).value == 2


def test_workers_that_are_busy_end_when_nobody_waits_for_them(tmp_path):
    with ProcessCrew(2) as crew:
        outcomes = crew.run([job(faults.double, 1), job(faults.sleep_long, tmp_path)])
        assert next(outcomes).value == 2
        while not list(tmp_path.iterdir()):
            time.sleep(0.02)
        outcomes.close()
        (process,) = (int(entry.name) for entry in tmp_path.iterdir())
        assert has_ended(process)


def test_workers_that_cannot_start_are_no_fault_of_the_slide(monkeypatch):
    monkeypatch.setattr(pool, "serve", faults.serve_not)
    with ProcessCrew(1) as crew, pytest.raises(HdganError, match="could not start"):
        list(crew.run([job(faults.double, 1)]))


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run where it is ignored
from hdgan.tiles.crew import Job
from hdgan.tiles.pool import ProcessCrew
from tests.tiles import faults
open(sys.argv[1] + ".runs", "a").write("x")
with ProcessCrew(2) as crew:
    print([outcome.value for outcome in crew.run([Job("a", faults.double, (4,))])], flush=True)
    list(crew.run([Job("a", faults.sleep_long, (sys.argv[1],))] * 2))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent_and_a_script_needs_no_guard(tmp_path, number):
    script, folder = tmp_path / "script.py", tmp_path / "processes"
    script.write_text(SCRIPT)
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with subprocess.Popen([sys.executable, script, folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"[8]\n"
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.02)
        parent.send_signal(number)
        try:
            parent.wait(20)
        finally:
            parent.kill()
    assert all(has_ended(int(entry.name)) for entry in folder.iterdir())
    assert Path(f"{folder}.runs").read_text() == "x"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_the_workers_of_the_first_jobs_are_forked_where_no_other_thread_and_no_torch_is_there(monkeypatch):
    ways = []
    hired = pool._hired
    monkeypatch.setattr(pool, "_hired", lambda way: ways.append(way) or hired(way))
    monkeypatch.setattr(pool, "_NOT_TO_BE_FORKED", ())
    monkeypatch.setattr(pool.threading, "active_count", lambda: 1)
    jobs = [job(faults.double, n) for n in range(3)]
    with ProcessCrew(2) as crew:
        assert [outcome.value for outcome in in_order(crew.run(jobs[:1]))] == [0]
        assert [outcome.value for outcome in in_order(crew.run(jobs))] == [0, 2, 4]
        assert ways == ["fork", "spawn"], "the second was hired when the caller may have held a lock"
    monkeypatch.setattr(pool.threading, "active_count", lambda: 2)
    with ProcessCrew(1) as crew:
        assert [outcome.value for outcome in in_order(crew.run(jobs))] == [0, 2, 4]
    monkeypatch.setattr(pool.threading, "active_count", lambda: 1)
    monkeypatch.setattr(pool, "_NOT_TO_BE_FORKED", ("os",))
    with ProcessCrew(1) as crew:
        assert [outcome.value for outcome in in_order(crew.run(jobs))] == [0, 2, 4]
    assert ways == ["fork", "spawn", "spawn", "spawn"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_a_forked_worker_that_crashes_costs_its_job_alone_and_one_that_is_asked_to_end_does(monkeypatch):
    monkeypatch.setattr(pool, "_is_alone", lambda: True)
    ear = Listening()
    with ProcessCrew(1) as crew:
        jobs = [job(faults.die, signal.SIGSEGV), job(faults.die, signal.SIGTERM), job(faults.double, 4)]
        outcomes = in_order(crew.run(jobs, progress=ear))
    assert [type(outcome.problem) for outcome in outcomes] == [Crashed, Crashed, type(None)]
    assert "SIGTERM" in str(outcomes[1].problem)
    assert outcomes[2].value == 8


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_forked_workers_end_with_their_parent(tmp_path):
    script = (
        "import sys, threading, pathlib\nfrom hdgan.tiles import pool\nfrom hdgan.tiles.crew import Job\nfrom tests.tiles import faults\n"
        "assert pool._is_alone()\n"
        "with pool.ProcessCrew(2) as crew:\n"
        "    list(crew.run([Job('a', faults.sleep_long, (pathlib.Path(sys.argv[1]),)) for _ in range(2)]))\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=environment)
    for _ in range(600):
        if len(list(tmp_path.iterdir())) == 2:
            break
        time.sleep(0.05)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    assert all(has_ended(worker) for worker in workers)


ALLOCATING = """
import resource, sys
import numpy as np
from hdgan.tiles.pool import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for turn in range(20):
    if turn == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(1 << 21, np.uint8) for _ in range(3)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the memory of glibc")
def test_a_worker_takes_the_memory_of_freed_arrays_again_without_new_pages():
    faults = {}
    for way in ("kept", "plain"):
        faults[way] = int(subprocess.run([sys.executable, "-c", ALLOCATING, way], check=True, capture_output=True, text=True).stdout)
    assert faults["kept"] < 0.1 * faults["plain"]
