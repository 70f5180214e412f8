"""Streams that must be refused: name to (what makes the file, the reason that must be given).

Streams are put together from opcodes by hand, so that they can be wrong in ways that no pickler would write. Whatever would be
run if a name were honoured leaves a trace: see `test_hostile.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.generator.foreign.writers import networks, official, part, rosinality

Make = Callable[[], bytes]
Cases = dict[str, tuple[Make, str]]
CASES: Cases = {}
HEAD = b"\x80\x04"
MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."


def add(cases: Cases, name: str, make: Make, reason: str) -> None:
    assert name not in cases, name
    cases[name] = (make, reason)


case = partial(add, CASES)


def text(value: str) -> bytes:
    """The opcode for a text."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def called(module: str, name: str, arguments: bytes = b")") -> bytes:
    """A call of a name."""
    return f"c{module}\n{name}\n".encode() + arguments + b"R"


def blob(data: bytes) -> bytes:
    """A storage inside a published pickle."""
    return called("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", len(data)) + data + b"\x85")


def bare(body: bytes) -> Make:
    """A stream with `body` between its head and its end."""
    return lambda: HEAD + body + b"."


def old(value: bytes, *, keys: bytes = b"]", data: bytes = b"", system: bytes = b"}" + text("little_endian") + b"\x88s") -> bytes:
    """A file in torch's old format."""
    streams = (b"M\xe9\x03", system, value, keys)
    return MAGIC + b"".join(b"\x80\x02" + stream + b"." for stream in streams) + data


def stored(numel: int, *, kind: str = "FloatStorage", key: str = "0", more: bytes = b"") -> bytes:
    """A persistent id of a storage."""
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + b"J" + struct.pack("<i", numel) + more + b"tQ"


def tensor(numel: int, *, offset: bytes = b"K\x00", shape: bytes = b"K\x02\x85", strides: bytes = b"K\x01\x85") -> bytes:
    return called(
        "torch._utils",
        "_rebuild_tensor_v2",
        b"(" + stored(numel) + offset + shape + strides + b"\x89" + called("collections", "OrderedDict") + b"t",
    )


# One opcode of each family that no checkpoint needs.
_OPCODES = {
    "INT": b"I1\n", "LONG": b"L1L\n", "FLOAT": b"F1.0\n", "STRING": b"S'x'\n", "UNICODE": b"Vx\n", "DICT": b"(d", "LIST": b"(l",
    "PUT": b"Np0\n", "GET": b"Np0\ng0\n", "PERSID": b"Px\n", "INST": b"(ios\nsystem\n", "OBJ": b"(cos\nsystem\no", "DUP": b"N2",
    "BINSTRING": b"T\x01\x00\x00\x00x", "SHORT_BINSTRING": b"U\x01x", "EXT1": b"\x82\x01", "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00", "BYTEARRAY8": b"\x96" + b"\x00" * 8, "NEXT_BUFFER": b"\x97", "READONLY_BUFFER": b"N\x98",
    "FROZENSET": b"(\x91", "NEWOBJ_EX": b"N)}\x92", "LONG4": b"\x8b\x01\x00\x00\x00\x01", "PROTO again": b"\x80\x04",
    "one that does not exist": b"\xff",
}  # fmt: skip
for _name, _code in _OPCODES.items():
    case(f"opcode {_name}", bare(_code), r"has opcode 0x|names os\.system")
case("opcode BINPERSID outside of torch", bare(b"NQ"), "refers to something outside")
for _protocol in (0, 1, 5, 255):
    case(f"protocol {_protocol}", lambda p=_protocol: b"\x80" + bytes([p]) + b"N.", "protocol")  # type: ignore[misc]
case("no protocol", lambda: b"N.", "is no pickle of protocol 2 to 4")

# Names that would run something.
_NAMES = [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "__import__"),
    ("builtins", "getattr"), ("__builtin__", "eval"), ("subprocess", "Popen"), ("subprocess", "check_output"), ("pickle", "loads"),
    ("_pickle", "loads"), ("torch", "load"), ("torch.hub", "load"), ("importlib", "import_module"), ("ctypes", "CDLL"),
    ("runpy", "run_path"), ("webbrowser", "open"), ("operator", "attrgetter"), ("functools", "partial"), ("numpy", "load"),
    ("numpy.core.multiarray", "_reconstruct"), ("torch_utils.persistence", "exec"), ("torch_utils.persistence", "_src_to_module"),
    ("dnnlib.util", "open_url"), ("dnnlib.util", "EasyDict.__class__"), ("collections", "OrderedDict.fromkeys"), ("argparse", "FileType"),
    ("codecs", "decode"), ("torch._utils", "_rebuild_device_tensor_from_numpy"), ("timeit", "timeit"),
    ("asyncio.unix_events", "os.system"), ("io", "open"), ("shutil", "rmtree"), ("", ""), ("os\u0000", "system"), ("tkinter", "Tk"),
    ("socket", "socket"),
]  # fmt: skip
for _module, _function in _NAMES:
    _command = b"(" + text("touch executed-by-pickle") + b"t"
    case(f"calls {_module!a}.{_function}", bare(called(_module, _function, _command)), "names .*, which no readable checkpoint does")
case("a name from the stack", bare(text("os") + text("system") + b"\x93" + text("true") + b"\x85R"), r"names os\.system")
case(
    "a name from the memo",
    bare(text("os") + b"q\x000" + text("system") + b"q\x010h\x00h\x01\x93" + text("true") + b"\x85R"),
    r"names os\.system",
)
case("a name that is a number", bare(b"K\x01K\x02\x93"), "has a name that is none")
case("a name of a million letters", bare(text("a" * 10**6) + text("b") + b"\x93"), "has a name that is none")
case("a name that does not end", bare(b"c" + b"a" * 1000), "has a name that does not end")
case("a new object of a forbidden class", bare(b"csubprocess\nPopen\n" + text("true") + b"\x85\x81"), r"names subprocess\.Popen")
case(
    "code in the state of an object",
    bare(called("dnnlib.util", "EasyDict") + b"}" + text("__setstate__") + b"cos\nsystem\nsb"),
    r"names os\.system",
)
case("a payload before the damage", bare(called("os", "system", text("true") + b"\x85") + b"\xff"), r"names os\.system")
case(
    "a payload after the end",
    lambda: official(networks()[0]) + HEAD + called("os", "system", text("true") + b"\x85") + b".",
    "bytes after its end",
)
case("a TensorFlow pickle", bare(b"cdnnlib.tflib.network\nNetwork\n)\x81"), "it is a TensorFlow pickle; convert it")
case("whole Python objects", bare(b"ctraining.networks\nGenerator\n)\x81"), "holds whole Python objects")
case("a name with control letters", bare(b"cos\x1b[31m\nsys\x07\n"), r"names os\\x1b")

# Calls of what is allowed, in ways that are not.
case("calls a list", bare(b"])R"), "calls a list")
case("calls a text", bare(text("os.system") + text("true") + b"\x85R"), "calls a str")
case("calls with a list", bare(b"ccollections\nOrderedDict\n]R"), "in an unusual way")
case("calls a storage class", lambda: old(called("torch", "FloatStorage")), "in an unusual way")
case("a dictionary of arguments", bare(called("collections", "OrderedDict", b"K\x01\x85")), "builds a dictionary in an unusual way")
case("state of a name", bare(b"ccollections\nOrderedDict\n}b"), "as the state of a bare name")
case("state of a tuple", bare(b")}b"), "as the state of a tuple")
case("state that is no dictionary", bare(called("dnnlib.util", "EasyDict") + b"]b"), "as the state of a dict")
case("items of a list", bare(b"]K\x01K\x02s"), "sets items of a list")
case("appends to a dictionary", bare(b"}K\x01a"), "appends to a dict")
case("adds to a list", bare(b"](K\x01\x90"), "adds to a list")
case("a list as a key", bare(b"}]K\x01s"), "as a key")
case("a dictionary in a set", bare(b"\x8f(}\x90"), "as a key")
case("a huge number as a key", bare(b"}J\xff\xff\xff\x7fK\x01s"), "as a key")
case("a key without a value", bare(b"}(K\x01u"), "has a key without a value")
case(
    "decodes instead of encoding", bare(called("_codecs", "encode", text("x") + text("rot13") + b"\x86")), "builds bytes in an unusual way"
)
case("bytes that are none", bare(called("_codecs", "encode", text("\u20ac") + text("latin1") + b"\x86")), "bytes that are none")
case("an object number format", bare(called("numpy", "dtype", text("O8") + b"\x89\x88\x87")), "number format O8")
case(
    "numbers in big-endian order",
    bare(called("numpy", "dtype", text("f8") + b"\x89\x88\x87") + b"(K\x03" + text(">") + b"NtbN"),
    "little-endian",
)
case(
    "a scalar of 3 bytes",
    bare(called("numpy.core.multiarray", "scalar", called("numpy", "dtype", text("f8") + b"\x85") + b"C\x03abc\x86")),
    "wrong length",
)
case("a set of lists", bare(called("builtins", "set", b"]]a\x85")), "as a key")
case("a parameter of a text", bare(called("torch._utils", "_rebuild_parameter", text("x") + b"\x88}\x87")), "no tensor")
case(
    "a network part from a list",
    bare(called("torch_utils.persistence", "_reconstruct_persistent_obj", b"]\x85")),
    "network part in an unusual way",
)

# Damage.
case("empty", lambda: b"", "ends before it is complete")
case("a head alone", lambda: HEAD, "ends before it is complete")
case("no end", lambda: HEAD + b"N", "ends before it is complete")
case("takes from an empty stack", bare(b"0"), "where there is none")
case("ends with nothing", lambda: HEAD + b".", "where there is none")
case("values left over", bare(b"NN"), "values left over")
case("a level left open", bare(b"(N"), "values left over")
case("closes what is not open", bare(b"t"), "not opened")
case("drops what is not open", bare(b"1"), "not opened")
case("recalls what is unknown", bare(b"h\x07"), "not remembered")
case("remembers nothing", bare(b"q\x00"), "where there is none")
case("text that is not UTF-8", bare(b"X\x02\x00\x00\x00\xff\xfe"), "not UTF-8")
case("a frame beyond the end", lambda: HEAD + b"\x95" + b"\xff" * 8 + b"N.", "ends before it is complete")
for _share in (10, 30, 50, 70, 90, 99):
    case(f"an official file cut at {_share} %", lambda s=_share: (f := official(*networks()))[: len(f) * s // 100], "ends before")  # type: ignore[misc]
    case(
        f"an old torch file cut at {_share} %",
        lambda s=_share: (f := rosinality(networks()[0], is_zip=False))[: len(f) * s // 100],
        "ends before|lists other",
    )  # type: ignore[misc]
    case(f"a zip file cut at {_share} %", lambda s=_share: (f := rosinality(networks()[0]))[: len(f) * s // 100], "cut short")  # type: ignore[misc]

# Bombs.
case("ten million opcodes", lambda: HEAD + b"N0" * 5_000_000 + b"N.", "operations")
case("a stack of a million", lambda: HEAD + b"N" * 1_000_000 + b".", "piles up more than")
case("a stack over many levels", lambda: HEAD + (b"(" + b"N" * 1000) * 150 + b".", "piles up more than")
case("a million levels", lambda: HEAD + b"(" * 1_000_000 + b".", "levels")
case("a memo without end", lambda: HEAD + b"N" + b"\x94" * 400_000 + b".", "remembers more than")
case("bytes of 2^63", bare(b"\x8e" + struct.pack("<Q", 2**63)), "ends before")
case("text of 2^64 - 1", bare(b"\x8d" + b"\xff" * 8), "ends before")
case("text of 4 GiB", bare(b"X\xff\xff\xff\xff"), "ends before")
case("a number of 255 bytes", bare(b"\x8a\xff" + b"\xff" * 255), "number of 255 bytes")
case("tuples in tuples", lambda: HEAD + b")" + b"\x85" * 200_000 + b".", "deep")
case("lists in lists", lambda: HEAD + b"]" * 10_000 + b"a" * 9_999 + b".", "deep")
case("a billion laughs", bare(b")" + b"".join(b"q\x000h\x00h\x00\x86" for _ in range(90))), "instead of networks by name")
case("a deeper billion laughs", bare(b")" + b"".join(b"q\x000h\x00h\x00\x86" for _ in range(1000))), "deep")
case("a list that holds itself", bare(b"]q\x00h\x00a"), "holds itself")
case("a dictionary that holds itself", bare(b"}q\x00" + text("G_ema") + b"h\x00s"), "holds itself")
case("a tuple that holds itself", bare(b"]q\x00h\x00\x85a"), "holds itself")
case(
    "text encoded again and again",
    bare(
        text("x" * 10**6)
        + b"q\x000"
        + b"".join(called("_codecs", "encode", b"h\x00" + text("latin1") + b"\x86") + b"0" for _ in range(2000))
        + b"N"
    ),
    "several times its own size",
)
case(
    "a storage read again and again",
    lambda: (
        HEAD
        + b"B"
        + struct.pack("<I", len(_one := old(stored(0), keys=b"]" + text("0") + b"a", data=b"\x00" * 8)))
        + _one
        + b"q\x000"
        + (called("torch.storage", "_load_from_bytes", b"h\x00\x85") + b"0") * 50_000
        + b"N."
    ),
    "operations",
)


def _twins() -> bytes:
    """Each part holds the next one twice: forty of them would be a walk of 2^40."""

    def change(content: dict[str, Any]) -> None:
        tree = part("SynthesisLayer", {}, {})
        for _ in range(40):
            tree = part("SynthesisLayer", {}, {"a": tree, "b": tree})
        content["G_ema"] = tree

    return official(networks()[0], change=change)


def _shared(num: int, group: str) -> Make:
    """Thousands of parts with one dictionary in common: a copy for each would fill the memory."""

    def change(content: dict[str, Any]) -> None:
        common: dict[str, Any] = {f"x{i}": None for i in range(num)}
        tree = part("SynthesisLayer", {}, {})
        for _ in range(11):
            tree = part("SynthesisLayer", {}, {"a": tree, "b": tree})
            if group:
                tree.state[group] = common
            else:
                tree.state |= common
        content["G_ema"] = tree

    return lambda: official(networks()[0], change=change)


def _loop() -> bytes:
    def change(content: dict[str, Any]) -> None:
        content["G_ema"].state["_modules"]["synthesis"].state["itself"] = content["G_ema"].state

    return official(networks()[0], change=change)


case("parts that share their parts", _twins, "more than 5000 parts")
case("parts that share 4,000 weights", _shared(4000, "_parameters"), "more than 5000 parts")
case("parts that share 40,000 weights", _shared(40_000, "_parameters"), "more than 5000 parts")
case("parts that share 9,000 attributes", _shared(9_000, ""), "has a SynthesisLayer where a Generator belongs")
case("a network that holds itself", _loop, "holds itself|deep|not remembered")

# Tensors that are not what they say.
GOOD = {"keys": b"]" + text("0") + b"a", "data": struct.pack("<q2f", 2, 1.0, 2.0)}
_TENSORS = {
    "10^12 numbers by stride 0": (tensor(2, shape=b"J\x00\x00\x00\x40J\x00\x04\x00\x00\x86", strides=b"K\x00K\x00\x86"), "reaches out of|repeats"),
    "a stride of 0": (tensor(2, strides=b"K\x00\x85"), "repeats numbers"),
    "a stride beyond the end": (tensor(2, strides=b"K\x09\x85"), "reaches out"),
    "a stride below 0": (tensor(2, strides=b"J\xff\xff\xff\xff\x85"), "no rows of whole numbers"),
    "an offset beyond the end": (tensor(2, offset=b"K\x01"), "reaches out"),
    "an offset below 0": (tensor(2, offset=b"J\xff\xff\xff\xff"), "begins outside"),
    "an offset of text": (tensor(2, offset=text("0")), "begins outside"),
    "a shape of -1": (tensor(2, shape=b"J\xff\xff\xff\xff\x85"), "no rows of whole numbers"),
    "a shape of 2^127": (tensor(2, shape=b"\x8a\x10" + b"\xff" * 15 + b"\x7f\x85"), "no rows of whole numbers"),
    "a shape of floats": (tensor(2, shape=b"G" + struct.pack(">d", 2.0) + b"\x85"), "no rows of whole numbers"),
    "seven dimensions": (tensor(2, shape=b"(" + b"K\x01" * 7 + b"t", strides=b"(" + b"K\x01" * 7 + b"t"), "no rows of whole numbers"),
    "more strides than sizes": (tensor(2, strides=b"K\x01K\x01\x86"), "no rows of whole numbers"),
    "a tensor on a text": (called("torch._utils", "_rebuild_tensor_v2", b"(" + text("x") + b"K\x00))\x89}t"), "instead of a storage"),
    "a tensor of three arguments": (called("torch._utils", "_rebuild_tensor_v2", b"NNN\x87"), "in an unusual way"),
    "a storage below 0": (stored(-5), "without a key or a size"),
    "a storage of an unknown kind": (stored(2, kind="QInt8Storage"), "names torch.QInt8Storage"),
    "a part of a storage": (stored(2, more=text("view")), "a part of a storage"),
    "an id of a module": (b"(" + text("module") + b"NNNtQ", "no storage"),
    "an id that is a text": (text("0") + b"Q", "no storage"),
    "two kinds of one storage": (b"]" + stored(2) + b"0" + stored(2, kind="LongStorage") + b"a", "in two ways"),
}  # fmt: skip
for _name, (_value, _reason) in _TENSORS.items():
    case(f"old torch file: {_name}", lambda v=_value: old(v, **GOOD), _reason)  # type: ignore[misc]
case("old torch file: other magic", bare(blob(b"\x80\x02\x8a\x0a" + b"\x00" * 10 + b".")), "torch did not write")
case("old torch file: zip inside", bare(blob(b"PK\x03\x04" + b"\x00" * 30)), "torch did not write")
case("old torch file: pickle inside", bare(blob(HEAD + called("os", "system") + b".")), "torch did not write")
case("old torch file: forbidden name inside", bare(blob(old(called("os", "system", text("true") + b"\x85")))), r"names os\.system")
case(
    "old torch file: another inside the inner one", bare(blob(old(blob(old(stored(2), **GOOD))))), r"names torch\.storage\._load_from_bytes"
)
case("old torch file: a tensor where a storage belongs", bare(blob(old(tensor(2), **GOOD))), "where a storage belongs")
case("old torch file: bytes after its end", bare(blob(old(stored(2), **GOOD) + b"x")), "after its end")
case("old torch file: fewer numbers", lambda: old(stored(2), keys=GOOD["keys"], data=struct.pack("<qf", 2, 1.0)), "ends before its numbers")
case("old torch file: two sizes", lambda: old(stored(2), keys=GOOD["keys"], data=struct.pack("<q2f", 1, 1.0, 2.0)), "two sizes")
case("old torch file: 2^62 numbers", lambda: old(stored(2), keys=GOOD["keys"], data=struct.pack("<q2f", 2**62, 1.0, 2.0)), "two sizes")
case("old torch file: keys of others", lambda: old(stored(2), keys=b"]" + text("1") + b"a", data=GOOD["data"]), "lists other storages")
case("old torch file: big-endian", lambda: old(stored(2), system=b"}" + text("little_endian") + b"\x89s", **GOOD), "little-endian")
case("old torch file: another version", lambda: MAGIC + b"\x80\x02K\x01.", "another version")
