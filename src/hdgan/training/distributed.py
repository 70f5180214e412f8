"""Several processes that train one network: who does which share of a batch, and how they agree.

Every process holds the whole state and takes the same steps; only the gradients come from different images, and are
averaged before the optimiser sees them (docs/decisions/008-explicit-averaging.md). Gradients travel where the network is
(NCCL between GPUs, gloo on CPUs); flags, losses and states travel over gloo. No object is pickled: plain data as JSON.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from hdgan.errors import BadConfig, Diverged, Interrupted, LostProcess, PartnerFailed
from hdgan.training.ranks import Rank, rank_of

TIMEOUT_S = 1800.0
"""How long a process waits for the others: longer than any snapshot takes. Gloo notices at once when one died; NCCL may take so long."""
_LINGER_S = 20.0
"""How long the first process waits, when it fails, for the others to read why."""
_POLL_S, _ASK_S = 0.0002, 1.0
_FAILURE, _KNOWN = "failure", "known"


class Group:
    """The processes of one training. A group of one communicates nothing and changes no number."""

    def __init__(self, rank: Rank | None = None, *, store: PrefixStore | None = None) -> None:
        self.rank = rank or Rank()
        self._store = store
        """Where a process that fails leaves word for the others."""

    @property
    def world(self) -> int:
        """How many processes."""
        return self.rank.world

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank.is_first

    def share_of(self, total: int, *, members: int = 1) -> slice | Tensor:
        """Which of `total` images of a pass are this process's, as an index.

        Image n is in minibatch-deviation group n mod (total / members); a process takes whole groups, and its own images fall
        into the same ones again by the same rule.

        Raises:
            BadConfig: the groups cannot be shared equally.
        """
        if self.world == 1:
            return slice(None)
        if total % (members * self.world):
            raise BadConfig(
                "generator.batch",
                f"{total} images in groups of {members} cannot be shared by {self.world} processes",
                f"make batch (and microbatch, which counts the images of all processes) a multiple of {members * self.world}",
            )
        mine = total // members // self.world
        return torch.arange(total).view(members, -1)[:, self.rank.number * mine : (self.rank.number + 1) * mine].flatten()

    def every(self, total: int, *, num_groups: int) -> slice:
        """Which of `total` images of a pass are this process's where the images of a group lie in several passes.

        Image n of the batch is in group n mod `num_groups`: every world-th image makes whole groups.

        Raises:
            BadConfig: groups or images cannot be shared equally.
        """
        if self.world > 1 and (total % self.world or num_groups % self.world):
            raise BadConfig(
                "generator.microbatch",
                f"passes of {total} images and {num_groups} groups of statistics cannot be shared by {self.world} processes",
                f"make microbatch, and the batch over its groups, multiples of {self.world}",
            )
        return slice(self.rank.number, None, self.world)

    @torch.no_grad()
    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replaces `tensors` by their means over the processes: bit for bit the same in all of them."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.float().reshape(-1) for tensor in tensors])
        self._reach(dist.all_reduce(flat, async_op=True), is_on_gpu=flat.is_cuda)
        flat /= self.world
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def means(self, values: Sequence[float]) -> list[float]:
        """The means of plain numbers over the processes."""
        if self.world == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        self._reach(dist.all_reduce(sums, async_op=True))
        return [float(value) for value in sums / self.world]

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is true in some process."""
        return [mean > 0 for mean in self.means([float(flag) for flag in flags])]

    def wait(self) -> None:
        """Returns when every process has come here."""
        self.means([0.0])

    def tell(self, data: Any = None) -> Any:
        """The first process's `data`, which must be plain, in every process."""
        if self.world == 1:
            return data
        text = (
            torch.frombuffer(bytearray(json.dumps(data).encode()), dtype=torch.uint8)
            if self.is_first
            else torch.empty(0, dtype=torch.uint8)
        )
        size = torch.tensor([text.numel()])
        self._reach(dist.broadcast(size, src=0, async_op=True))
        text = text if self.is_first else torch.empty(int(size), dtype=torch.uint8)
        self._reach(dist.broadcast(text, src=0, async_op=True))
        return json.loads(text.numpy().tobytes())

    def tell_tensors(self, tensors: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The first process's `tensors`, on the CPU, in every process."""
        if self.world == 1:
            return tensors or {}
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in (tensors or {}).items()}
        shapes = self.tell({name: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for name, tensor in held.items()})
        for name, (dtype, shape) in shapes.items():
            tensor = held[name] if self.is_first else torch.empty(shape, dtype=getattr(torch, dtype))
            self._reach(dist.broadcast(tensor, src=0, async_op=True))
            held[name] = tensor
        return held

    def leave_word(self, error: BaseException) -> None:
        """Tells the others why this process ends, so that they end with the same exit code."""
        assert self._store is not None
        code = 75 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
        word = {"rank": self.rank.number, "code": code, "line": f"{type(error).__name__}: {error}"}
        self._store.set(_FAILURE, json.dumps(word))
        deadline = time.monotonic() + _LINGER_S
        while self.is_first and self._store.add(_KNOWN, 0) < self.world - 1 and time.monotonic() < deadline:
            time.sleep(0.05)  # the store may live in this process

    def _reach(self, work: dist.Work | None, *, is_on_gpu: bool = False) -> None:
        """Waits for the others; a GPU waits by itself, and errors show where its numbers are read."""
        assert work is not None
        asked_at = time.monotonic()
        try:
            while not is_on_gpu and not work.is_completed():
                time.sleep(_POLL_S)
                if time.monotonic() - asked_at > _ASK_S:
                    asked_at = time.monotonic()
                    self._heed_word()
            work.wait()
        except RuntimeError as error:  # what torch raises for a closed connection and for a timeout
            self._heed_word()
            why = re.sub(r"^\[[^]]*\]\s*", "", str(error).strip()).splitlines()[0].split(". ")[0]  # without the place in torch's sources
            raise LostProcess(
                f"process {self.rank.number} of {self.world}: another one ended or does not answer ({why}); "
                "the same command resumes from the last state"
            ) from error

    def _heed_word(self) -> None:
        """Ends as a process that failed says, if it said something and can still be asked."""
        try:
            if self._store is None or not self._store.check([_FAILURE]):
                return
            word = json.loads(self._store.get(_FAILURE))
            self._store.add(_KNOWN, 1)
        except (RuntimeError, ValueError):
            return
        raise PartnerFailed(f"process {word['rank']} of {self.world} stopped the training: {word['line']}", word["code"])


ALONE = Group()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """The group that torchrun's environment names, joined; `ALONE` without one.

    Raises:
        BadConfig: the environment is contradictory, or has more processes on this machine than it has GPUs.
        LostProcess, PartnerFailed: the others did not come, or ended.
    """
    rank = rank_of()
    if rank.world == 1:
        yield ALONE
        return
    group = _join(rank, is_on_gpu=device.startswith("cuda"))
    try:
        yield group
    except (LostProcess, PartnerFailed):
        raise  # nobody is left to take leave of: the end of this process closes its connections
    except (Interrupted, Diverged):
        dist.destroy_process_group()  # all of them came here
        raise
    except BaseException as error:
        group.leave_word(error)
        raise
    dist.destroy_process_group()


def _join(rank: Rank, *, is_on_gpu: bool) -> Group:
    if is_on_gpu:
        if rank.local >= torch.cuda.device_count():
            raise BadConfig(
                "torchrun",
                f"process {rank.local} of this machine has no GPU of its own ({torch.cuda.device_count()} here)",
                "start as many processes as there are GPUs",
            )
        torch.cuda.set_device(rank.local)
    timeout = datetime.timedelta(seconds=TIMEOUT_S)
    backend = "cpu:gloo,cuda:nccl" if is_on_gpu else "gloo"
    try:
        store, _, _ = next(iter(rendezvous("env://", timeout=timeout)))
        dist.init_process_group(backend, store=store, rank=rank.number, world_size=rank.world, timeout=timeout)
    except RuntimeError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise LostProcess(f"process {rank.number} of {rank.world} met no others at {where} ({str(error).splitlines()[0]})") from error
    return Group(rank, store=PrefixStore("hdgan", store))
