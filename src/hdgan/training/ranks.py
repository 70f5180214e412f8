"""Which of several processes this one is, as torchrun's environment tells. Needs no torch: every verb may ask.

A process is numbered by its rank, 0 to world - 1, over all machines; `local` counts within a machine and names its GPU.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hdgan.errors import BadConfig

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True)
class Rank:
    """The number of a process, how many there are, and its number on its machine."""

    number: int = 0
    world: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.number == 0


def rank_of(environment: Mapping[str, str] | None = None) -> Rank:
    """The rank that torchrun's variables (of this process, by default) tell; rank 0 of 1 without them.

    Raises:
        BadConfig: some are missing, or they contradict each other.
    """
    environment = os.environ if environment is None else environment
    given = [name for name in _NAMES if name in environment]
    if "WORLD_SIZE" not in given and "RANK" not in given:
        return Rank()
    missing = [name for name in (*_NAMES, "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if missing:
        raise BadConfig("environment", f"{' and '.join(given)} set, but not {', '.join(missing)}", "start with torchrun, or unset them")
    try:
        number, world, local = (int(environment[name]) for name in _NAMES)
    except ValueError as error:
        raise BadConfig("environment", f"RANK, WORLD_SIZE, LOCAL_RANK: {error}", "start with torchrun, or unset them") from error
    if not (0 <= number < world and 0 <= local <= number):
        raise BadConfig("environment", f"rank {number} (local {local}) of {world} is impossible", "start with torchrun, or unset them")
    return Rank(number, world, local)


def refuse_company(work: str) -> None:
    """Refuses what only one process may do: the training of a generator is all that several can share.

    Raises:
        BadConfig: torchrun started several.
    """
    world = rank_of().world
    if world > 1:
        raise BadConfig(work, f"started as {world} processes", "only `hdgan train` shares its work; start this without torchrun")
