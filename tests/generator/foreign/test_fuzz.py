"""Whatever bytes the reader is given, it ends soon, with weights or with a refusal."""

from __future__ import annotations

import io
import struct
import time
import zipfile

import numpy as np
import pytest

from hdgan.generator.foreign.fit import Weights
from hdgan.generator.foreign.inert import check_nesting
from hdgan.generator.foreign.limits import Budget, Refused
from hdgan.generator.foreign.official import VOCABULARY
from hdgan.generator.foreign.opcodes import decode
from hdgan.generator.foreign.read import read_weights
from tests.generator.foreign import hostile
from tests.generator.foreign.hostile import blob, called, old, stored, tensor, text
from tests.generator.foreign.writers import networks, official, rosinality

LIMIT_S = 2.0
EDGES = [
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\xff" * 8,
    b".",
    b"R",
    b"b",
    b"(",
    b"t",
    b"0",
    b"1",
    b"\x94",
    b"Q",
]


def outcome(data: bytes) -> str:
    """`read` or `refused`; anything else that the reader raises fails the test."""
    begun = time.process_time()
    try:
        found = read_weights(data)
    except Refused as error:
        result, words = "refused", str(error)
    else:
        words = ""
        assert isinstance(found, Weights)
        assert all(np.isfinite(array).all() for arrays in found.networks.values() for array in arrays.values())
        result = "read"
    assert time.process_time() - begun < LIMIT_S
    assert words.isascii()
    assert len(words) < 2000
    return result


def mutated(data: bytes, other: bytes, draw: np.random.Generator) -> bytes:
    """`data` with one to four wounds."""
    for _ in range(int(draw.integers(1, 5))):
        a, b = sorted(int(i) for i in draw.integers(0, max(len(data), 1), 2))
        b = min(b, a + int(draw.choice([1, 4, 30, 300])))
        c = int(draw.integers(0, max(len(other), 1)))
        edge = EDGES[int(draw.integers(len(EDGES)))]
        match int(draw.integers(8)):
            case 0:
                data = data[:a] + bytes([data[a] ^ (1 << int(draw.integers(8)))]) + data[a + 1 :] if data else edge
            case 1:
                data = data[:a] + data[b:]
            case 2:
                data = data[:a] + data[a:b] + data[a:]
            case 3:
                data = data[:a] + other[c : c + b - a] + data[b:]
            case 4:
                data = data[:a] + edge + data[a + len(edge) :]
            case 5:
                data = data[:a] + edge + data[a:]
            case 6:
                data = data[:a] if draw.integers(4) == 0 else data
            case _:
                data = data[:a] + bytes(draw.integers(0, 256, b - a, dtype=np.uint8)) + data[b:]
    return data


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    G, D = networks()
    made = {f"official {protocol}": official(G, protocol=protocol) for protocol in (2, 3, 4)}
    return made | {"both": official(G, D), "zip": rosinality(G), "old": rosinality(G, is_zip=False, with_mean=False)}


@pytest.mark.parametrize(("name", "num"), [("official 2", 400), ("official 3", 400), ("official 4", 400), ("both", 200), ("old", 400)])
def test_wounded_files_are_read_or_refused(name, num, files):
    draw = np.random.default_rng(1)
    data, others = files[name], list(files.values())
    outcomes = [outcome(mutated(data, others[i % len(others)], draw)) for i in range(num)]
    assert {"read", "refused"} == set(outcomes)
    assert outcomes.count("refused") > num / 4


def test_zip_archives_with_wounded_entries_are_read_or_refused(files):
    draw = np.random.default_rng(2)
    with zipfile.ZipFile(io.BytesIO(files["zip"])) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    outcomes = []
    for i in range(500):
        if i % 5 == 0:
            outcomes.append(outcome(mutated(files["zip"], files["old"], draw)))
            continue
        names = sorted(entries)
        name = names[int(draw.integers(len(names)))] if i % 3 == 0 else "archive/data.pkl"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:  # with checksums that are right again
            for key, value in entries.items():
                archive.writestr(key, mutated(value, files["old"], draw) if key == name else value)
        outcomes.append(outcome(buffer.getvalue()))
    assert {"read", "refused"} == set(outcomes)


def test_wounded_hostile_files_are_refused():
    draw = np.random.default_rng(3)
    kinds = ("opcode", "protocol", "calls", "state", "items", "old torch file")
    small = [make() for name, (make, _) in hostile.CASES.items() if name.startswith(kinds) and " cut at " not in name]
    assert len(small) > 100
    outcomes = {outcome(mutated(small[i % len(small)], small[int(draw.integers(len(small)))], draw)) for i in range(1500)}
    assert outcomes == {"refused"}


PIECES = [
    b"N", b"K\x01", b"M\x01\x02", b"J\xff\xff\xff\xff", b"G" + b"\x00" * 8, b"\x88", b"\x8a\x01\x05", b"C\x01x", b"]", b"}", b")", b"(",
    b"t", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"\x8f", b"(\x90", b"0", b"1", b"R", b"\x81", b"b", b"\x94", b"h\x00",
    b"h\x01", b"q\x00", b"q\x01", b"j\x02\x00\x00\x00", b"\x93", text("G_ema"), text("state"), text("latin1"),
    b"ccollections\nOrderedDict\n", b"cdnnlib.util\nEasyDict\n", b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n",
    b"ctorch.storage\n_load_from_bytes\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n",
    b"c_codecs\nencode\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\nscalar\n", b"cbuiltins\nset\n",
    called("collections", "OrderedDict"), tensor(2), b"cos\nsystem\n", b"\x95\x00\x00\x00\x00\x00\x00\x00\x00",
    blob(old(stored(2), keys=b"]" + text("0") + b"a", data=struct.pack("<q2f", 2, 1, 2))),
]  # fmt: skip


def test_streams_of_random_opcodes_give_data_or_a_refusal():
    draw = np.random.default_rng(4)
    num_read = 0
    for _ in range(1500):
        body = b"".join(PIECES[i] for i in draw.integers(0, len(PIECES), int(draw.integers(1, 40))))
        data = memoryview(b"\x80\x04" + body + b".")
        try:
            value, end = decode(data, start=0, budget=Budget(len(data)), vocabulary=VOCABULARY)
        except Refused:
            continue
        check_nesting(value)
        assert end <= len(data)
        num_read += 1
    assert num_read > 20
