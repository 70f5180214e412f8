"""A real Slurm and the ways of hdgan to it: does what was killed, signalled and requeued end with the bytes of a run without any of it?

    python benchmarks/slurm.py --cache CACHE [--only signalled killed fruitless training dask] [--slides 12] [--stride 8]

Needs `sbatch` and a controller that answers; CACHE must be visible from the nodes. Each part prints a line and what it compared; one that differs
ends this with 1. Jobs ask for one core and little memory.

signalled: the file that `hdgan tile --sbatch` writes is handed in; one share gets SIGUSR1 and is requeued by its file. Beside `hdgan tile`.
killed: one share is cancelled with SIGKILL, by which the joining job must be withdrawn, and the file handed in once more. Beside `hdgan tile`.
fruitless: three arrays, each with one slide that cannot be cut: its reader kills the process; reading it does not end; opening it does not end
(these two with a time limit of three minutes). Each must end by itself: the share of the slide with code 2 and a line that says why, the others well,
joining withdrawn. Handed in once more with a reader that works, beside `hdgan tile`.
training: `recipes/slurm_train.sbatch` trains at 16 px in two processes (on two nodes where there are two), once with a time limit that is not reached and once
with one of a minute, of which it is told 10 s before. Weights are compared.
dask: workers of dask-jobqueue cut the slides; the job of one is cancelled after the first slides. Beside `hdgan tile`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tiles"))
from kills import files, painted

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "slurm_train.sbatch"
TILES = '[run]\nname = "x"\n[tiles]\nslides = ["slides/*.tif"]\nmpp = 1.0\ntile_px = 64\nstride_px = {stride}\nnum_folds = 2\n[generator]\nresolution = 64\n'
TRAINING = """[run]
name = "x"
[tiles]
slides = ["painted/slides.csv"]
mpp = 8.0
tile_px = 64
stride_px = 32
max_background = 0.9
[generator]
resolution = 16
z_dim = 8
w_dim = 8
channel_base = 128
channel_max = 8
batch = 32
kimg = {kimg}
snapshot_kimg = 2.0
device = "cpu"
"""
CLUSTER = """
import sys
from dask_jobqueue import SLURMCluster

if __name__ == "__main__":
    cluster = SLURMCluster(cores=1, processes=1, memory="1GB", walltime="00:30:00", log_directory=sys.argv[1], worker_extra_args=["--lifetime", "25m"])
    cluster.adapt(minimum=2, maximum=2)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""
FAULTS = """
import os, signal, time
from hdgan.tiles import plan, work

def at_fault(module):
    plain = module.open_slide
    def opened(path, **settings):
        if path.stem == "s05":
            os.kill(os.getpid(), signal.SIGSEGV) if os.environ["FAULT"] == "kills" else time.sleep(1e5)
        return plain(path, **settings)
    module.open_slide = opened

at_fault(plan if os.environ["FAULT"] == "unopened" else work)
"""
"""The `sitecustomize` of every process of a share, workers that are spawned too: from its first moment one slide is at fault."""
LIMITED = {"--time=00:20:00": "--time=00:03:00", "--signal=USR1@60": "--signal=USR1@10"}
ENDS = {
    "kills": (0, "was ended by signal 11 (SIGSEGV), 2 times"),
    "endless": (2, "times in a row before a slide was finished"),
    "unopened": (2, "times in a row before a slide was finished"),
}
"""What a fault must end with: the least number of times that its share is put back into the queue, and the line in its log."""
MOST_RESTARTS = 6
UNENDED = ("PENDING", "RUNNING", "COMPLETING", "REQUEUE")
PATIENCE_S = 1200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for slides and results; what lies in it below `slurm` is removed")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="parts")
    parser.add_argument("--slides", type=int, default=12)
    parser.add_argument("--stride", type=int, default=8, help="between tiles of 64 px; a smaller one makes the work longer")
    parser.add_argument("--kimg", type=float, default=6.0, help="thousand images of the training; it should take about 100 s")
    options = parser.parse_args()
    if why := absent():
        raise SystemExit(f"no Slurm here: {why}")
    print(asked("sbatch", "--version").strip(), flush=True)
    folder = options.cache.absolute() / "slurm"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    held = [PARTS[name](folder, options) for name in options.only]
    sys.exit(not all(held))


def absent() -> str:
    """Why there is no Slurm to ask; empty where there is one."""
    if shutil.which("sbatch") is None:
        return "no sbatch"
    try:
        ping = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=30, check=False).stdout
    except subprocess.TimeoutExpired:
        ping = ""
    return "" if re.search(r"\bUP\b", ping) else "no controller answers"


def signalled(folder: Path, options: argparse.Namespace) -> bool:
    """Whether shares, one of which is told to stop, end with the bytes of `hdgan tile`."""
    whole = slides_cut_plainly(folder, options)
    begun = time.monotonic()
    jobs = handed_in(folder, "signalled")
    at_work(f"{jobs[0]}_1", folder)
    asked("scancel", "--signal=USR1", f"{jobs[0]}_1")
    restarts = ended(jobs, watched=f"{jobs[0]}_1")
    is_same = whole == files(folder / "signalled" / "1-tiles")
    return told(f"signalled: one of 4 shares, requeued {restarts} time(s)", is_same and restarts >= 1, time.monotonic() - begun)


def killed(folder: Path, options: argparse.Namespace) -> bool:
    """Whether shares, one of which is killed and handed in again, end with the bytes of `hdgan tile`."""
    whole = slides_cut_plainly(folder, options)
    begun = time.monotonic()
    jobs = handed_in(folder, "killed")
    at_work(f"{jobs[0]}_2", folder)
    asked("scancel", "--signal=KILL", f"{jobs[0]}_2")
    ended(jobs)
    is_joined = (folder / "killed" / "1-tiles" / "manifest.json").exists()
    ended(handed_in(folder, "killed"))
    is_same = not is_joined and whole == files(folder / "killed" / "1-tiles")
    return told("killed: one of 4 shares, joining withdrawn, handed in again", is_same, time.monotonic() - begun)


def fruitless(folder: Path, options: argparse.Namespace) -> bool:
    """Whether shares with a slide that cannot be cut end by themselves, say so, and end with the bytes of `hdgan tile` once it can be."""
    whole = slides_cut_plainly(folder, options)
    begun = time.monotonic()
    (folder / "faults").mkdir()
    (folder / "faults" / "sitecustomize.py").write_text(FAULTS)
    arrays = {
        fault: handed_in(
            folder,
            fault,
            changes={} if fault == "kills" else LIMITED,
            more={"FAULT": fault, "PYTHONPATH": f"{folder / 'faults'}{os.pathsep}{ROOT / 'src'}"},
        )
        for fault in ENDS
    }
    tasks = tasks_ended([job for jobs in arrays.values() for job in jobs])
    is_held = True
    for fault, (array, joining) in arrays.items():
        bad = [task for task, (state, _, _) in tasks.items() if task.startswith(f"{array}_") and state != "COMPLETED"]
        least, line = ENDS[fault]
        log = (folder / f"hdgan-tile-{bad[0]}.log").read_text() if len(bad) == 1 else ""
        _, code, restarts = tasks[bad[0]] if len(bad) == 1 else ("", "", 0)
        is_told = code == "2:0" and least <= restarts <= MOST_RESTARTS and log.count(line) == 1
        is_withdrawn = tasks[f"{joining}_0"][0] == "CANCELLED" and not (folder / fault / "1-tiles" / "manifest.json").exists()
        ended(handed_in(folder, fault))
        is_same = whole == files(folder / fault / "1-tiles")
        print(f"  {fault}: {len(bad)} of 4 shares failed, exit {code}, put back {restarts} time(s)", flush=True)
        print(f"  {next((said for said in log.splitlines() if line in said), 'its log does not say why')}", flush=True)
        is_held &= is_told and is_withdrawn and is_same
    return told("fruitless: ended by themselves, joining withdrawn, handed in again", is_held, time.monotonic() - begun)


def slides_cut_plainly(folder: Path, options: argparse.Namespace) -> dict[str, bytes]:
    """The files of `hdgan tile` on the slides, which are painted first."""
    if not (folder / "slides").exists():
        painted(folder / "slides", num=options.slides)
        (folder / "x.toml").write_text(TILES.format(stride=options.stride))
        hdgan(folder, "tile", "plain", "--config", "x.toml", "--workers", "2")
    return files(folder / "plain" / "1-tiles")


def handed_in(folder: Path, name: str, *, changes: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None) -> list[str]:
    """The numbers of the jobs, the array and the one that joins; `changes` are made to the file, `more` to the environment."""
    hdgan(folder, "tile", name, "--config", "x.toml", "--sbatch", f"{name}.sh", "--shards", "4")
    file = folder / f"{name}.sh"
    text = file.read_text()
    for old, new in ({"--cpus-per-task=4": "--cpus-per-task=1", "--time=04:00:00": "--time=00:20:00"} | dict(changes or {})).items():
        text = text.replace(old, new)
    file.write_text(text)
    said = asked("bash", file.name, folder=folder, more=more)
    return re.findall(r"job (\d+)", said)


def training(folder: Path, options: argparse.Namespace) -> bool:
    """Whether the weights of a training over several time limits are those of one within one."""
    hdgan(folder, "paint", "painted", "--patients", 2, "--size", 256, "--mpp", 8, "--tile-px", 0)
    (folder / "train.toml").write_text(TRAINING.format(kimg=options.kimg))
    num_nodes = len(set(asked("sinfo", "-h", "-N", "-o", "%N").split()))
    spread = ["--nodes=2", "--ntasks-per-node=1"] if num_nodes > 1 else ["--nodes=1", "--ntasks-per-node=2"]
    begun, found, restarts = time.monotonic(), [], 0
    for name, limits in (("within", ["--time=30"]), ("over", ["--time=1", "--signal=USR1@10"])):
        hdgan(folder, "tile", name, "--config", "train.toml")
        command = ["sbatch", "--parsable", *limits, *spread, "--gpus-per-node=0", "--cpus-per-task=1", str(RECIPE), name]
        job = asked(*command, folder=folder).strip().split(";")[0]
        restarts = ended([job], watched=job)
        found.append((folder / name / "2-generator" / "generator.safetensors").read_bytes())
    is_same = found[0] == found[1] and restarts >= 1
    where = "two processes on two nodes" if num_nodes > 1 else "two processes on one node"
    return told(f"training: {where}, told of its time limit and requeued {restarts} time(s)", is_same, time.monotonic() - begun)


def dask(folder: Path, options: argparse.Namespace) -> bool:
    """Whether slides cut by workers of dask-jobqueue, one of whose jobs is cancelled, have the bytes of `hdgan tile`."""
    whole = slides_cut_plainly(folder, options)
    begun = time.monotonic()
    command = [sys.executable, "-c", CLUSTER, str(folder / "dask-logs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), cwd=folder) as cluster:
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        cut = [sys.executable, "-m", "hdgan", "tile", "dask", "--config", "x.toml", "--scheduler", address]
        with subprocess.Popen(cut, env=environment(), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
            until(lambda: job.poll() is not None or len(list((folder / "dask" / "1-tiles" / "parts").glob("*"))) >= 2)
            victim = asked("squeue", "-h", "-n", "dask-worker", "-t", "R", "-o", "%A").split()[0]
            was_at_work = job.poll() is None
            asked("scancel", victim)
            code = job.wait(PATIENCE_S)
        cluster.communicate("")
    is_same = code == 0 and was_at_work and whole == files(folder / "dask" / "1-tiles")
    return told("dask: the job of one of two workers cancelled", is_same, time.monotonic() - begun)


PARTS: dict[str, Callable[[Path, argparse.Namespace], bool]] = {
    "signalled": signalled,
    "killed": killed,
    "fruitless": fruitless,
    "training": training,
    "dask": dask,
}


def told(what: str, is_held: bool, seconds: float) -> bool:
    print(f"{what}: {'every byte the same' if is_held else 'DIFFERS'} ({seconds:.0f} s)", flush=True)
    return is_held


def environment() -> dict[str, str]:
    """That of a user in whose environment this hdgan is active; Slurm hands it on to its jobs."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def hdgan(folder: Path, *arguments: object) -> None:
    asked(sys.executable, "-m", "hdgan", *map(str, arguments), folder=folder)


def asked(*command: str, folder: Path | None = None, more: Mapping[str, str] | None = None) -> str:
    """What a command prints."""
    done = subprocess.run(
        command, cwd=folder, env=environment() | dict(more or {}), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def at_work(job: str, folder: Path) -> None:
    """Returns when a share is being cut, as its log says."""
    log = folder / f"hdgan-tile-{job}.log"
    until(lambda: log.exists() and " to do" in log.read_text())


def ended(jobs: Sequence[str], *, watched: str = "") -> int:
    """Returns when none of the jobs is in the queue any more: how often `watched` was requeued."""
    restarts = 0

    def is_over() -> bool:
        nonlocal restarts
        if watched:
            found = re.search(r"Restarts=(\d+)", about(watched))
            restarts = max(restarts, int(found.group(1)) if found else 0)
        return not any(state(job).startswith(UNENDED) for job in jobs)

    until(is_over)
    return restarts


def tasks_ended(jobs: Sequence[str]) -> dict[str, tuple[str, str, int]]:
    """Returns when none of the jobs is in the queue any more: the state, exit code and number of restarts of each task of theirs, as `job_task`. They are
    looked at all the time, for Slurm forgets a job some minutes after its end.
    """
    found: dict[str, tuple[str, str, int]] = {}

    def is_over() -> bool:
        are_over = True
        for job in jobs:
            for task in re.findall(r"JobId=.*", about(job, "--oneliner")):
                said = {name: value for name, _, value in (word.partition("=") for word in task.split())}
                if not said["ArrayTaskId"].isdigit():  # several that have not begun
                    are_over = False
                    continue
                found[f"{job}_{said['ArrayTaskId']}"] = (said["JobState"], said["ExitCode"], int(said["Restarts"]))
        return are_over and not any(state.startswith(UNENDED) for state, _, _ in found.values())

    until(is_over)
    return found


def state(job: str) -> str:
    """The states of a job, or of the tasks of an array, those first that are not over."""
    found = sorted(re.findall(r"JobState=(\S+)", about(job)), key=lambda one: not one.startswith(UNENDED))
    return found[0] if found else ""


def about(job: str, *options: str) -> str:
    done = subprocess.run(["scontrol", *options, "show", "job", job], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return done.stdout


def until(is_over: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not is_over():
        if time.monotonic() - began > PATIENCE_S:
            raise SystemExit(f"nothing came of it in {PATIENCE_S} s: see squeue and the logs")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
