"""A Dask scheduler and two workers, each a process of its own, cut the slides."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from hdgan import optional
from hdgan.errors import BadConfig, BadInput, MissingExtra, OutOfSpace
from hdgan.tiles import cluster as cluster_crew
from hdgan.tiles import work
from hdgan.tiles.cluster import open_cluster
from hdgan.tiles.crew import Crashed, Job, in_order
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide
from tests.tiles import faults

from .test_pool import Listening
from .test_stage import outputs

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster(tmp_path):
    """The scheduler's address and a way to start workers."""
    with running(tmp_path, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show") as (_, log):
        address = found(log, "Scheduler at:").split()[-1]

        @contextmanager
        def working():
            with running(tmp_path, "worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny") as (worker, log):
                found(log, "Registered to:")
                yield worker

        yield address, working


@contextmanager
def running(folder, kind, *arguments):
    log = folder / f"{kind}-{time.monotonic_ns()}.log"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    environment |= {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1", "DASK_TEMPORARY_DIRECTORY": str(folder)}
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
    place = folder / "elsewhere"
    place.mkdir(exist_ok=True)
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=place) as process:
        try:
            yield process, log
        finally:
            process.kill()


def found(log, text):
    for _ in range(600):
        for line in log.read_text().splitlines():
            if text in line:
                return line
        time.sleep(0.05)
    raise AssertionError(log.read_text())


class Waiting(Listening):
    """Lets it be known that a line was said."""

    def __init__(self):
        super().__init__()
        self.heard = threading.Event()

    def say(self, line):
        super().say(line)
        self.heard.set()


class Killing(Listening):
    """Kills a worker when the first slide is done."""

    def __init__(self, worker):
        super().__init__()
        self.worker = worker

    def advance(self, steps=1, *, note=""):
        super().advance(steps)
        if self.worker.returncode is None:
            self.worker.send_signal(signal.SIGKILL)
            self.worker.wait()


def test_a_worker_killed_amid_the_job_costs_nothing_and_doubles_nothing(tmp_path, config, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no worker is
    cohort = Path("scans")
    cohort.mkdir()
    for seed in range(8):
        write_slide(cohort / f"s{seed}.tif", paint(seed=seed))
    config = config.model_copy(update={"slides": ("*.tif",), "stride_px": 16})
    run_tiles(config, out=tmp_path / "plain", seed=0, base=cohort)
    address, working = cluster
    with working() as first, working():
        ear = Killing(first)
        run_tiles(config.model_copy(update={"scheduler": address}), out=Path("out"), seed=0, base=cohort, progress=ear)
    assert first.returncode == -signal.SIGKILL
    assert outputs(tmp_path / "out") == outputs(tmp_path / "plain")
    with (tmp_path / "out" / "cells.csv").open() as file:
        assert ear.steps == sum(1 for _ in file) - 1


def test_what_goes_wrong_on_a_worker_is_what_goes_wrong_here(tmp_path, cluster):
    address, working = cluster
    ear = Listening()
    with working(), open_cluster(address, num_workers=1) as crew:
        jobs = [
            Job("a.svs", faults.double, (4,), 1),
            Job("a.svs", faults.refuse, ("input",)),
            Job("a.svs", faults.tell_process, (tmp_path,)),
        ]
        fine, refused, _ = in_order(crew.run(jobs, progress=ear))
        assert (fine.value, fine.problem, refused.value) == (8, None, None)
        assert type(refused.problem) is BadInput
        assert refused.problem.remedy == "mend it"
        assert (ear.steps, ear.lines) == (1, ["here"])
        with pytest.raises(OutOfSpace):
            list(crew.run([Job("a.svs", faults.refuse, ("full",))]))


def test_a_scheduler_without_workers_is_told_of_and_waited_for(cluster):
    address, working = cluster
    ear = Waiting()
    with open_cluster(address, num_workers=1) as crew, ThreadPoolExecutor(1) as other:
        outcomes = other.submit(lambda: list(crew.run([Job("a.svs", faults.double, (4,))], progress=ear)))
        assert ear.heard.wait(30)
        assert not outcomes.done()
        with working():
            (outcome,) = outcomes.result(60)
            assert outcome.value == 8
            list(crew.run([Job("a.svs", faults.double, (4,))], progress=ear))
    (line,) = [line for line in ear.lines if "worker" in line]
    assert line.startswith("no worker has joined the Dask scheduler yet")


def test_what_a_worker_had_done_is_not_done_again_when_it_leaves(tmp_path, cluster):
    address, working = cluster
    with open_cluster(address, num_workers=1) as crew:
        with working() as first:
            outcomes = crew.run([Job("a.svs", faults.tell_process, (tmp_path / "marks",)), Job("b.svs", faults.work_slowly, (2,))])
            (tmp_path / "marks").mkdir()
            assert next(outcomes).value == first.pid
        first.wait()
        with working():
            (slow,) = outcomes
    assert slow.value == "done"
    assert [mark.name for mark in (tmp_path / "marks").iterdir()] == [str(first.pid)]


def test_a_slide_over_which_workers_die_again_and_again_is_given_up_and_named(cluster):
    address, working = cluster
    with working(), working(), working(), open_cluster(address, num_workers=1) as crew:
        (outcome,) = crew.run([Job("bad.svs", faults.leave, (3,))])
        assert isinstance(outcome.problem, Crashed)
        assert "bad.svs: 2 workers died over it" in str(outcome.problem)


def test_workers_over_whose_slide_nothing_is_heard_end_and_it_is_given_up(tmp_path, cluster):
    address, working = cluster
    with working() as first, working() as second, working(), open_cluster(address, num_workers=1, max_silence_s=1.5) as crew:
        jobs = [Job("bad.svs", faults.hang, (tmp_path / "mark",)), Job("a.svs", faults.work_slowly, (3,))]
        hung, slow = in_order(crew.run(jobs))
        assert isinstance(hung.problem, Crashed)
        assert "bad.svs: 2 workers died over it; its reader crashes or says nothing for 1.5 s" in str(hung.problem)
        assert (tmp_path / "mark").read_text() == "xx"
        assert slow.value == "done"
        assert len({first.pid, second.pid}) == 2


def test_a_cluster_on_this_machine_gives_the_same_bytes(tmp_path, cohort, config):
    run_tiles(config, out=tmp_path / "plain", seed=0, base=cohort)
    settings = f"{config.model_copy(update={'scheduler': 'local', 'workers': 2}).model_dump_json()}"
    code = "import sys\nfrom pathlib import Path\nfrom hdgan.tiles.config import TilesConfig\nfrom hdgan.tiles.stage import run_tiles\n"
    code += "if __name__ == '__main__':\n    run_tiles(TilesConfig.model_validate_json(sys.argv[1]), out=Path(sys.argv[2]), seed=0, base=Path(sys.argv[3]))\n"
    subprocess.run([sys.executable, "-c", code, settings, tmp_path / "out", cohort], check=True, timeout=60, cwd=tmp_path)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "plain")


def test_the_lifetime_in_the_docs_is_one_that_workers_read_and_ends_before_the_job_does():
    from dask.utils import parse_timedelta

    text = (ROOT / "docs" / "how-to" / "tile-clusters.md").read_text()
    (lifetime,) = re.findall(r'"--lifetime", "([^"]+)"', text)
    (hours,) = re.findall(r'walltime="(\d\d):00:00"', text)
    assert 0 < parse_timedelta(lifetime) < int(hours) * 3600


def test_without_a_scheduler_or_without_the_extra_there_is_one_line(monkeypatch):
    monkeypatch.setattr(cluster_crew, "_CONNECTS_WITHIN_S", 1)
    with (
        pytest.raises(BadConfig, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        open_cluster("tcp://127.0.0.1:9", num_workers=1),
    ):
        pass

    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(optional.importlib, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'hdgan\[cluster\]'"), open_cluster("local", num_workers=1):
        pass


def test_a_worker_with_another_version_is_found_out(tmp_path, cohort, config, monkeypatch):
    monkeypatch.setattr(work, "cut_part", faults.cut_as_another_version)
    with pytest.raises(Exception, match=r"a worker cut a1 with hdgan 0\.0\.9, this is .*: install one version everywhere"):
        run_tiles(config, out=tmp_path / "out", seed=0, base=cohort)
