"""Reads one foreign file in a process of its own, with little memory and time: `python -m hdgan.generator.foreign.child FILE OUT`.

Writes the networks as safetensors to OUT and ends with 0, or writes the reason on standard error and ends with 3.
"""

from __future__ import annotations

import json
import mmap
import sys
from pathlib import Path

from safetensors.numpy import save_file

from hdgan.generator.foreign.limits import Refused
from hdgan.generator.foreign.read import read_weights
from hdgan.store.atomic import replacing

REFUSED = 3
"""Exit code of a refusal."""
_LEAST_MEMORY = 2**30
_SECONDS = 60


def main(source: Path, out: Path, *, only_generator: bool) -> int:
    """The exit code, after `out` was written or a reason was given."""
    num_bytes = source.stat().st_size
    confine(memory=_LEAST_MEMORY + 8 * num_bytes, seconds=seconds_for(num_bytes))
    try:
        if not num_bytes:
            raise Refused("is empty")
        with source.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        weights = read_weights(memoryview(content), only_generator=only_generator)
    except Refused as error:
        sys.stderr.write(str(error))
        return REFUSED
    except MemoryError:
        sys.stderr.write("needs more memory than a checkpoint of its size can")
        return REFUSED
    arrays = {f"{network}.{name}": array for network, named in weights.networks.items() for name, array in named.items()}
    about = {"spec": weights.spec.to_json(), "facts": weights.facts}
    with replacing(out, is_nested=True) as temporary:
        temporary.touch()
        save_file(arrays, temporary, metadata={"hdgan": json.dumps(about, sort_keys=True)})
    return 0


def seconds_for(num_bytes: int) -> int:
    """Processor seconds that reading `num_bytes` may take; a published checkpoint takes a tenth of that."""
    return _SECONDS + num_bytes // (10 * 2**20)


def confine(*, memory: int, seconds: int) -> None:
    """Limits this process to bytes of address space and seconds of processor time, where the system can."""
    try:
        import resource  # absent on Windows
    except ImportError:
        return
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(what, (limit, limit))
        except (ValueError, OSError):  # macOS refuses some; the time limit of the parent remains
            continue


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), only_generator=sys.argv[3:] == ["--generator-only"]))
