"""What a foreign file may contain, as data: nothing here is callable, and no class of the file exists.

Besides these there are plain dictionaries, lists, tuples, sets, strings, bytes, numbers, booleans and None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hdgan.generator.foreign.limits import MAX_DEPTH, MAX_DIMENSIONS, MAX_EXTENT, Budget, Refused

SIZES = {
    "float32": 4,
    "float16": 2,
    "float64": 8,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""Number format of a storage to bytes of one number."""


@dataclass(frozen=True)
class Name:
    """The name of something in a Python module. It stays a name."""

    module: str
    name: str


@dataclass(frozen=True)
class Module:
    """A part of a network as the published code keeps it: the name of its class, and its attributes."""

    class_name: str
    state: dict[Any, Any]


@dataclass
class Settings:
    """What `argparse` read from a command line."""

    values: dict[Any, Any] = field(default_factory=dict)


@dataclass
class DType:
    """A number format of numpy's."""

    code: str


@dataclass
class Storage:
    """A row of numbers; in old files its bytes come after everything that refers to it."""

    dtype: str
    numel: int
    data: memoryview | None = None

    def attach(self, data: memoryview) -> None:
        """Gives the storage its bytes.

        Raises:
            Refused: they are more or fewer than it states.
        """
        if len(data) != self.numel * SIZES[self.dtype]:
            raise Refused(f"a storage states {self.numel} numbers of {self.dtype} and has {len(data)} bytes")
        self.data = data


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, its bounds checked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In numbers, not bytes."""

    def array(self, budget: Budget) -> np.ndarray:
        """The values as float32 in C order.

        Raises:
            Refused: they are no floating-point numbers, or are not there.
        """
        dtype, data = self.storage.dtype, self.storage.data
        if dtype not in ("float32", "float16", "float64", "bfloat16"):
            raise Refused(f"a weight is stored as {dtype}")
        if data is None:
            raise Refused("a storage has no content")
        budget.spend_bytes(4 * math.prod(self.shape))
        row = np.frombuffer(data, np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<"))
        # Safe because `view` has compared the last element that the strides reach with the end of the storage.
        view = np.lib.stride_tricks.as_strided(
            row[self.offset :], self.shape, tuple(stride * row.itemsize for stride in self.strides), writeable=False
        )
        if dtype == "bfloat16":
            return (np.ascontiguousarray(view).astype(np.uint32) << 16).view(np.float32).reshape(self.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused by name later
            return np.array(view, dtype=np.float32, order="C")


def view(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    """The tensor that these values describe.

    Raises:
        Refused: they are of the wrong kind, reach out of the storage, or name one number more than once.
    """
    if not isinstance(storage, Storage):
        raise Refused(f"a tensor is built on {kind(storage)} instead of a storage")
    if not (_is_row_of_sizes(shape) and _is_row_of_sizes(strides) and len(shape) == len(strides)):
        raise Refused("a tensor's shape and strides are no rows of whole numbers of one length")
    if type(offset) is not int or not 0 <= offset <= storage.numel:
        raise Refused("a tensor begins outside of its storage")
    numel = math.prod(shape)
    if numel:
        last = offset + sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))
        if last >= storage.numel or numel > storage.numel:
            raise Refused(f"a tensor of shape {list(shape)} reaches out of its storage of {storage.numel} numbers")
        if any(stride == 0 and extent > 1 for extent, stride in zip(shape, strides, strict=True)):
            raise Refused(f"a tensor of shape {list(shape)} repeats numbers of its storage")
    return Tensor(storage, offset, shape, strides)


def kind(value: Any) -> str:
    """What `value` is, in words that are safe to print whatever it holds."""
    if isinstance(value, Name):
        return "a bare name"
    words = {Module: "a network part", Settings: "settings", DType: "a number format", Storage: "a storage", Tensor: "a tensor"}
    return words.get(type(value), f"a {type(value).__name__}")


def check_nesting(root: Any) -> None:
    """Passes when `root` nests at most `MAX_DEPTH` deep.

    Raises:
        Refused: it nests deeper, or something holds itself.
    """
    heights: dict[int, int] = {}  # of what is finished; nothing in `root` is freed meanwhile, so ids stay apart
    path: list[tuple[Any, list[Any]]] = [(root, _parts(root))]
    on_path = {id(root)}
    while path:
        value, waiting = path[-1]
        if waiting:
            part = waiting.pop()
            if id(part) in on_path:
                raise Refused("something in it holds itself")
            if id(part) not in heights:
                if len(path) == MAX_DEPTH:
                    raise Refused(f"nests more than {MAX_DEPTH} deep")
                path.append((part, _parts(part)))
                on_path.add(id(part))
            continue
        path.pop()
        on_path.discard(id(value))
        height = 1 + max((heights.get(id(part), 0) for part in _parts(value)), default=0)
        if height > MAX_DEPTH:  # the way here was short, but what it met again goes deep
            raise Refused(f"nests more than {MAX_DEPTH} deep")
        heights[id(value)] = height


def _parts(value: Any) -> list[Any]:
    """What `value` holds and may itself hold something."""
    if isinstance(value, Module):
        value = value.state
    elif isinstance(value, Settings):
        value = value.values
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [item for item in items if isinstance(item, dict | list | tuple | Module | Settings)]


def _is_row_of_sizes(value: Any) -> bool:
    is_row = isinstance(value, tuple | list) and len(value) <= MAX_DIMENSIONS
    return is_row and all(type(number) is int and 0 <= number < MAX_EXTENT for number in value)
