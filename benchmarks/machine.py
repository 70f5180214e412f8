"""What this machine does at best, and what a computation asks of it: matrix products and copies.

Rates are measured, not looked up: of a square matrix product, and of a copy that is too large for most caches (read and written, both counted).
A computation is counted as torch runs it, operation by operation (`Counted`), so what is computed twice counts twice. Imports torch alone.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_COPIED_BYTES = {"cpu": 2**27, "cuda": 2**30}
_EDGE = {"cpu": 1024, "cuda": 8192}
"""Of the matrices."""


def now(device: str = "cpu") -> float:
    """Seconds of a clock, read when the device has finished what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


class Meter:
    """Seconds on the wall and of the processor that the block under `with` took."""

    def __init__(self, wall: float = 0.0, cpu: float = 0.0, *, device: str = "cpu") -> None:
        self.wall, self.cpu, self._device = wall, cpu, device

    def __enter__(self) -> Meter:
        self._begun = now(self._device), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = now(self._device) - self._begun[0], time.process_time() - self._begun[1]

    def __add__(self, other: Meter) -> Meter:
        return Meter(self.wall + other.wall, self.cpu + other.cpu)

    @classmethod
    def least(cls, rounds: Sequence[Meter]) -> Meter:
        """The least of each: other work can only add."""
        return cls(min(r.wall for r in rounds), min(r.cpu for r in rounds))

    def to_json(self) -> dict[str, float]:
        """As plain data."""
        return {"wall": self.wall, "cpu": self.cpu}


def multiply_rates(num_threads: int) -> dict[str, float]:
    """Multiplications per second in a product of two matrices of 1024 x 1024: `wall` by all threads, `cpu` for each second of theirs, `one_thread`."""
    found = _product_times()
    torch.set_num_threads(1)
    alone = _product_times()
    torch.set_num_threads(num_threads)
    products = _EDGE["cpu"] ** 3
    return {"wall": products / found.wall, "cpu": products / found.cpu, "one_thread": products / alone.cpu}


def product_rate(precision: str, *, device: str, allow_tf32: bool = False) -> float:
    """FLOP per second (two for a multiplication and its addition) of a product of large matrices in `precision`, such as `bfloat16`.

    With `allow_tf32` float32 products round their factors on a GPU, as convolutions do in a training that is let.
    """
    before = torch.get_float32_matmul_precision()
    kind = torch.device(device).type
    try:
        torch.set_float32_matmul_precision("high" if allow_tf32 and kind == "cuda" else "highest")
        return 2 * _EDGE[kind] ** 3 / _product_times(getattr(torch, precision), device, rounds=4).wall
    finally:
        torch.set_float32_matmul_precision(before)


def copy_rate(*, device: str, rounds: int = 4) -> float:
    """Bytes per second that a copy reads and writes."""
    source = torch.ones(_COPIED_BYTES[torch.device(device).type], dtype=torch.uint8, device=device)
    target = torch.full_like(source, 2)
    meters = []
    for _ in range(rounds):
        with Meter(device=device) as meter:
            target.copy_(source)
        meters.append(meter)
    return 2 * source.numel() / Meter.least(meters).wall


def _product_times(dtype: torch.dtype = torch.float32, device: str = "cpu", *, repeats: int = 4, rounds: int = 8) -> Meter:
    """Of one product, the least of all rounds."""
    edge = _EDGE[torch.device(device).type]
    a, out = (torch.randn(edge, edge, device=device, dtype=dtype) for _ in range(2))
    torch.mm(a, a, out=out)
    meters = []
    for _ in range(rounds):
        with Meter(device=device) as meter:
            for _ in range(repeats):
                torch.mm(a, a, out=out)
        meters.append(meter)
    best = Meter.least(meters)
    return Meter(best.wall / repeats, best.cpu / repeats)


class Counted(TorchDispatchMode):
    """Counts what runs under `with`, whatever the device.

    `flop`: of convolutions, filters among them, and matrix products, by number format (`float32`), two for a multiplication and its addition.
    `bytes`: as if each operation read its inputs and wrote its results once, in memory and not in a cache; views and empty tensors move nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flop: Counter[str] = Counter()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operation's result."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            precision = str(next(iter(_tensors(args))).dtype).removeprefix("torch.")
            self.flop[precision] += int(formula(*args, **kwargs, out_val=out))
        self.bytes += _bytes_moved(func, args, kwargs, out)
        return out


def _bytes_moved(func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> int:
    schema = func._schema
    if "empty" in schema.name or schema.name == "aten::_unsafe_view":
        return 0
    named = dict(zip((argument.name for argument in schema.arguments), args, strict=False)) | kwargs
    changed = [
        named.get(argument.name) for argument in schema.arguments if argument.alias_info is not None and argument.alias_info.is_write
    ]
    results = out if isinstance(out, tuple | list) else (out,)
    made = [result for result, told in zip(results, schema.returns, strict=False) if told.alias_info is None]
    written = _size(changed) + _size(made)
    return _size(named.values()) + written if written else 0


def _size(values: Iterable[Any]) -> int:
    """Bytes in memory; what an expanded tensor repeats counts once."""
    edges = ((x, (edge for edge, step in zip(x.shape, x.stride(), strict=True) if step or not edge)) for x in _tensors(values))
    return sum(math.prod(kept) * x.element_size() for x, kept in edges)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)
