"""A reader of pickle streams that treats them as data: it interprets the opcodes itself, and nothing that they name exists.

Pickle is a small stack machine (protocols 2 to 4: PEP 307, PEP 3154). A name in a stream becomes a `Name`, if it is in a
given vocabulary, and is refused otherwise; a "call" of a name is answered by a function of ours that takes the arguments as
data and gives data back. Opcodes that published checkpoints do not need are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from hdgan.generator.foreign.inert import DType, Name, Settings, check_nesting, kind
from hdgan.generator.foreign.limits import (
    MAX_INTEGER,
    MAX_KEY,
    MAX_MARKS,
    MAX_MEMO,
    MAX_NAME,
    MAX_STACK,
    Budget,
    Refused,
    shown,
)

Builder = Callable[[tuple[Any, ...], Budget], Any]
"""What stands for a name: arguments as data in, data out."""
Vocabulary = Mapping[tuple[str, str], Builder | None]
"""(module, name) to what stands for it; None for a name that cannot be called."""
StorageOf = Callable[[Any], Any]
"""The storage that a persistent id names."""

_STOP = 0x2E
_PROTO = 0x80
_REFUSED = {
    **dict.fromkeys(b"ILFSVdlpgPio2", "of protocols 0 and 1"),
    **dict.fromkeys(b"TU", "for text of Python 2"),
    **dict.fromkeys((0x82, 0x83, 0x84), "for an extension registry"),
    **dict.fromkeys((0x96, 0x97, 0x98), "of protocol 5"),
    0x8B: "for very long numbers",
    0x91: "for frozen sets",
    0x92: "for objects built with keywords",
}
_HINTS = {
    "dnnlib.tflib": "it is a TensorFlow pickle; convert it with stylegan2-ada-pytorch's legacy.py first",
    "training.": "it holds whole Python objects, not the published layout",
    "torch.nn": "it holds whole Python objects, not the published layout",
}


def decode(data: memoryview, *, start: int, budget: Budget, vocabulary: Vocabulary, storage_of: StorageOf | None = None) -> tuple[Any, int]:
    """The value of the stream that begins at `start`, and where it ends.

    Raises:
        Refused: the stream is damaged, names something outside of `vocabulary`, or exceeds a limit.
    """
    machine = _Machine(data, start, budget, vocabulary, storage_of)
    at = start
    try:
        if machine.byte() != _PROTO:
            raise Refused("is no pickle of protocol 2 to 4")
        protocol = machine.byte()
        if protocol not in (2, 3, 4):
            raise Refused(f"is a pickle of protocol {protocol}, and 2 to 4 are read")
        while True:
            budget.spend_operation()
            at = machine.at
            code = machine.byte()
            if code == _STOP:
                break
            work = _WORK.get(code)
            if work is None:
                raise Refused(f"has opcode 0x{code:02x} {_REFUSED.get(code, 'that does not exist or may not stand here')}")
            work(machine)
        value = machine.pop()
        if machine.stack or machine.outer:
            raise Refused("ends with values left over")
        check_nesting(value)
    except Refused as error:
        raise (error if error.at is not None else Refused(error.what, at=at)) from None
    return value, machine.at


class _Machine:
    """The stack, the marks and the memo of one stream."""

    def __init__(self, data: memoryview, start: int, budget: Budget, vocabulary: Vocabulary, storage_of: StorageOf | None) -> None:
        self.data = data
        self.at = start
        self.budget = budget
        self.vocabulary = vocabulary
        self.storage_of = storage_of
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.held = 0
        """Values on the stacks below the last mark."""
        self.memo: dict[int, Any] = {}

    def byte(self) -> int:
        """The next byte."""
        if self.at >= len(self.data):
            raise Refused("ends before it is complete")
        value = self.data[self.at]
        self.at += 1
        return value

    def take(self, num: int) -> memoryview:
        """The next `num` bytes."""
        end = self.at + num
        if end > len(self.data):
            raise Refused("ends before it is complete")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def number(self, form: str) -> Any:
        """The next number, written as `struct` says."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        """Puts `value` on the stack."""
        if len(self.stack) + self.held >= MAX_STACK:
            raise Refused(f"piles up more than {MAX_STACK} values")
        self.stack.append(value)

    def pop(self) -> Any:
        """The last value of the stack, taken from it."""
        if not self.stack:
            raise Refused("takes a value where there is none")
        return self.stack.pop()

    def top(self) -> Any:
        """The last value of the stack."""
        if not self.stack:
            raise Refused("uses a value where there is none")
        return self.stack[-1]

    def mark(self) -> None:
        """Begins a new level of the stack."""
        if len(self.outer) >= MAX_MARKS:
            raise Refused(f"opens more than {MAX_MARKS} levels")
        self.held += len(self.stack)
        self.outer.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """The values since the last mark, taken from the stack."""
        if not self.outer:
            raise Refused("closes a level that was not opened")
        items, self.stack = self.stack, self.outer.pop()
        self.held -= len(self.stack)
        return items

    def put(self, index: int) -> None:
        """Remembers the last value as number `index`."""
        if len(self.memo) >= MAX_MEMO:
            raise Refused(f"remembers more than {MAX_MEMO} values")
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        """Puts remembered value number `index` on the stack."""
        if index not in self.memo:
            raise Refused("recalls a value that was not remembered")
        self.push(self.memo[index])

    def text(self, num: int) -> str:
        """The next `num` bytes as text."""
        try:
            return str(self.take(num), "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Refused("has text that is not UTF-8") from None

    def line(self) -> str:
        """Text up to the next line feed."""
        head = bytes(self.data[self.at : self.at + MAX_NAME + 1])
        num = head.find(b"\n")
        if num < 0:
            raise Refused("has a name that does not end")
        text = self.text(num)
        self.at += 1
        return text

    def name(self, module: Any, name: Any) -> None:
        """Puts a name on the stack, if the vocabulary has it."""
        if not (type(module) is str and type(name) is str and len(module) <= MAX_NAME and len(name) <= MAX_NAME):
            raise Refused("has a name that is none")
        if (module, name) not in self.vocabulary:
            hint = next((f": {words}" for start, words in _HINTS.items() if module.startswith(start)), "")
            raise Refused(f"names {shown(f'{module}.{name}')}, which no readable checkpoint does{hint}")
        self.push(Name(module, name))

    def call(self) -> None:
        """Answers a call: name and arguments are taken, what stands for the result is put."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name):
            raise Refused(f"calls {kind(name)}")
        builder = self.vocabulary[name.module, name.name]
        if builder is None or type(arguments) is not tuple:
            raise Refused(f"calls {shown(f'{name.module}.{name.name}')} in an unusual way")
        self.push(builder(arguments, self.budget))

    def build(self) -> None:
        """Gives the last value its state: kept for settings, dropped for dictionaries, refused for all else."""
        state, target = self.pop(), self.top()
        if isinstance(target, DType):
            if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|"):
                raise Refused("has numbers that are not little-endian")
        elif type(state) is not dict or not (type(target) is dict or isinstance(target, Settings)):
            raise Refused(f"sets {kind(state)} as the state of {kind(target)}")
        elif isinstance(target, Settings):
            target.values = dict(state)

    def extend(self, items: list[Any]) -> None:
        """Appends to the list on the stack."""
        target = self.top()
        if type(target) is not list:
            raise Refused(f"appends to {kind(target)}")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        """Adds keys and values, in turn, to the dictionary on the stack."""
        target = self.top()
        if type(target) is not dict:
            raise Refused(f"sets items of {kind(target)}")
        if len(items) % 2:
            raise Refused("has a key without a value")
        for key in items[::2]:
            check_key(key)
        target.update(zip(items[::2], items[1::2], strict=True))

    def add(self, items: list[Any]) -> None:
        """Adds to the set on the stack."""
        target = self.top()
        if type(target) is not set:
            raise Refused(f"adds to {kind(target)}")
        for item in items:
            check_key(item)
        target.update(items)

    def persistent(self) -> None:
        """Puts the storage that an id names."""
        if self.storage_of is None:
            raise Refused("refers to something outside of itself")
        self.push(self.storage_of(self.pop()))


def check_key(key: Any) -> None:
    """Passes when `key` may be the key of a dictionary or lie in a set.

    Raises:
        Refused: it is neither text nor a small number.
    """
    if type(key) is str or (type(key) is int and 0 <= key < MAX_KEY):
        return
    raise Refused(f"has {kind(key)} as a key")


def _integer(machine: _Machine) -> None:
    num = machine.byte()
    if num > MAX_INTEGER:
        raise Refused(f"has a number of {num} bytes")
    machine.push(int.from_bytes(machine.take(num), "little", signed=True))


def _tuple_of(num: int) -> Callable[[_Machine], None]:
    def work(machine: _Machine) -> None:
        items = [machine.pop() for _ in range(num)]
        machine.push(tuple(reversed(items)))

    return work


def _frame(machine: _Machine) -> None:
    """A frame only says how much to read at once; it must lie within the file."""
    if machine.number("<Q") > len(machine.data) - machine.at:
        raise Refused("ends before it is complete")


def _drop(machine: _Machine) -> None:
    machine.pop()


def _drop_level(machine: _Machine) -> None:
    machine.since_mark()


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.update([key, value])


def _append(machine: _Machine) -> None:
    value = machine.pop()
    machine.extend([value])


def _stack_name(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.name(module, name)


_WORK: dict[int, Callable[[_Machine], None]] = {
    ord("("): _Machine.mark,
    ord("0"): _drop,
    ord("1"): _drop_level,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.byte()),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: _integer,
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("X"): lambda m: m.push(m.text(m.number("<I"))),
    0x8C: lambda m: m.push(m.text(m.byte())),
    0x8D: lambda m: m.push(m.text(m.number("<Q"))),
    ord("B"): lambda m: m.push(m.take(m.number("<I"))),
    ord("C"): lambda m: m.push(m.take(m.byte())),
    0x8E: lambda m: m.push(m.take(m.number("<Q"))),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    0x85: _tuple_of(1),
    0x86: _tuple_of(2),
    0x87: _tuple_of(3),
    ord("]"): lambda m: m.push([]),
    ord("a"): _append,
    ord("e"): lambda m: m.extend(m.since_mark()),
    ord("}"): lambda m: m.push({}),
    ord("s"): _set_item,
    ord("u"): lambda m: m.update(m.since_mark()),
    0x8F: lambda m: m.push(set()),
    0x90: lambda m: m.add(m.since_mark()),
    ord("c"): lambda m: m.name(m.line(), m.line()),
    0x93: _stack_name,
    ord("R"): _Machine.call,
    0x81: _Machine.call,
    ord("b"): _Machine.build,
    ord("q"): lambda m: m.put(m.byte()),
    ord("r"): lambda m: m.put(m.number("<I")),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.get(m.byte()),
    ord("j"): lambda m: m.get(m.number("<I")),
    ord("Q"): _Machine.persistent,
    0x95: _frame,
}
