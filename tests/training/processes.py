"""Several processes on one machine, as torchrun would start them, forked from a server that has imported torch already."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
import traceback
from pathlib import Path

from hdgan.errors import HdganError

CRASHED = 99


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def start(work, world, *arguments, local_size=None, master="127.0.0.1", said=None):
    """Starts `work(*arguments)` as ranks 0 to world - 1, `local_size` of them on each "machine".

    What process n says on standard error goes to `<said>/<n>.txt`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.generator.together"])
    local_size = local_size or world
    port = free_port()
    processes = []
    for rank in range(world):
        environment = {
            "RANK": rank,
            "WORLD_SIZE": world,
            "LOCAL_RANK": rank % local_size,
            "MASTER_ADDR": master,
            "MASTER_PORT": port,
            "OMP_NUM_THREADS": 1,
            "SAID": said / f"{rank}.txt" if said else os.devnull,
        }
        process = context.Process(target=_become, args=({name: str(value) for name, value in environment.items()}, work, arguments))
        process.start()
        processes.append(process)
    return processes


def ended(processes, *, within=60.0):
    """The exit codes; processes that have not ended in time are killed and fail the test."""
    deadline = time.monotonic() + within
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0.01))
    late = [number for number, process in enumerate(processes) if process.is_alive()]
    for process in processes:
        process.kill()
        process.join()
    assert late == [], f"processes {late} had not ended after {within} s"
    return [process.exitcode for process in processes]


def _become(environment, work, arguments):
    import torch

    os.environ.update(environment)
    sys.stderr = Path(os.environ.pop("SAID")).open("w")  # noqa: SIM115 - open until the process ends
    torch.set_num_threads(1)
    code = 0
    try:
        work(*arguments)
    except HdganError as error:
        sys.stderr.write(f"hdgan: {error}\n")
        code = error.exit_code
    except BaseException:  # noqa: BLE001 - told by the exit code
        traceback.print_exc()
        code = CRASHED
    sys.stderr.flush()
    os._exit(code)  # the server's own ending is not for its children
