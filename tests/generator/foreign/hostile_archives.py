"""Files of other kinds and zip archives that must be refused: name to (what makes the file, the reason that must be given)."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import partial

from tests.generator.foreign.hostile import GOOD, Cases, add, blob, called, old, stored, text
from tests.generator.foreign.writers import networks, rosinality

CASES: Cases = {}
case = partial(add, CASES)

# Other kinds of files.
case("gzip", lambda: b"\x1f\x8b\x08" + b"\x00" * 99, "gzip")
case("7z", lambda: b"7z\xbc\xaf\x27\x1c" + b"\x00" * 99, "7z")
case("bzip2", lambda: b"BZh91AY" + b"\x00" * 99, "bzip2")
case("xz", lambda: b"\xfd7zXZ\x00" + b"\x00" * 99, "xz")
case("tar", lambda: b"x" * 257 + b"ustar\x0000" + b"\x00" * 248, "tar")
case("HDF5", lambda: b"\x89HDF\r\n\x1a\n" + b"\x00" * 99, "HDF5")
case("a web page", lambda: b"<!DOCTYPE html><html>Sign in</html>", "web page")
case("a pointer of git-lfs", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs")
case("safetensors", lambda: struct.pack("<Q", 2) + b"{}", "safetensors")
case("an empty zip", lambda: b"PK\x05\x06" + b"\x00" * 18, "empty or damaged zip")
case("noise", lambda: bytes((i * 7919 + 13) % 256 for i in range(4096)), "is no pickle")
case("zeros", lambda: b"\x00" * 4096, "is no pickle")


def zipped(entries: dict[str, bytes] | list[tuple[str, bytes]], *, method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
        archive.comment = comment
    return buffer.getvalue()


def unzipped() -> dict[str, bytes]:
    """The entries of a good file."""
    with zipfile.ZipFile(io.BytesIO(rosinality(networks()[0]))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(**entries: bytes | None) -> bytes:
    """A good file with other entries, or without some."""
    new = unzipped() | {f"archive/{name.replace('__', '/').replace('data_pkl', 'data.pkl')}": content for name, content in entries.items()}
    return zipped({name: content for name, content in new.items() if content is not None})


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


def _overlapping() -> bytes:
    """Two names for one entry: the directory's second line points where the first does."""
    data = bytearray(zipped({"a/data.pkl": b"x" * 100, "b/data.pkl": b"x" * 100}))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    data[second + 46 : second + 47] = b"a"
    data[second + 46 + 2 : second + 46 + 10] = b"data.pkl"
    return bytes(data)


def _patched(mark: bytes, at: int, value: bytes) -> bytes:
    """A good file with `value` written over its last record that begins with `mark`."""
    data = bytearray(rosinality(networks()[0]))
    place = data.rindex(mark) + at
    data[place : place + len(value)] = value
    return bytes(data)


def _aliases(num: int) -> bytes:
    """`num` names for one entry of 10 MB: reading each would take 10 MB again."""
    body = b"\x00" * 10**7
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, len(body), len(body), 4, 0) + b"same" + body
    line = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, len(body), len(body), 4, 0, 0, 0, 0, 0, 0) + b"same"
    directory = line * num
    return local + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, num, num, len(directory), len(local), 0)


case("zip: compressed", lambda: zipped(unzipped(), method=zipfile.ZIP_DEFLATED), "compressed or encrypted")
case("zip: a bomb of zeros", lambda: zipped({"archive/data.pkl": b"\x00" * 10**8}, method=zipfile.ZIP_DEFLATED), "compressed or encrypted")
case("zip: something else", lambda: zipped({"a.npy": b"x"}), "without torch's data.pkl")
case("zip: two checkpoints", lambda: zipped({"a/data.pkl": b"x", "b/data.pkl": b"x"}), "without torch's data.pkl")
case("zip: a program", lambda: changed(**{"constants.pkl": b"x"}), "TorchScript")
case("zip: a path upwards", lambda: zipped({"archive/../../etc/passwd": b"x"}), "entry named")
case("zip: an absolute path", lambda: zipped({"/etc/passwd": b"x"}), "entry named")
case("zip: a path of Windows", lambda: zipped({"archive/x": b"x"}).replace(b"archive/x", b"archive\\x"), "entry named")
case("zip: control letters", lambda: zipped({"archive/\x1b[2J": b"x"}), "entry named")
case("zip: overlapping entries", _overlapping, "two entries|overlapping|where its directory says")
case("zip: one entry of many names", lambda: _aliases(1000), "two entries")
case("zip: 70,000 entries", lambda: zipped({f"archive/{i}": b"" for i in range(70_000)}), "impossible directory")
case("zip: more entries than it says", lambda: _patched(b"PK\x06\x06", 32, struct.pack("<Q", 2**40)), "impossible directory|in parts")
case("zip: a directory beyond the end", lambda: _patched(b"PK\x06\x06", 48, struct.pack("<Q", 2**62)), "impossible directory")
case("zip: a locator beyond the end", lambda: _patched(b"PK\x06\x07", 8, struct.pack("<Q", 2**63)), "impossible directory")
case("zip: an encrypted entry", lambda: _patched(b"PK\x01\x02", 8, b"\x01\x00"), "compressed or encrypted")
case("zip: an entry beyond the end", lambda: _patched(b"PK\x01\x02", 42, struct.pack("<I", 2**31)), "where its directory says")
case("zip: an entry of 4 GiB", lambda: _patched(b"PK\x01\x02", 20, b"\xfe\xff\xff\xff" * 2), "where its directory says")
case("zip: a comment", lambda: zipped(unzipped(), comment=b"PK\x05\x06"), "cut short|comment")
case("zip: bytes after its end", lambda: rosinality(networks()[0]) + b"x", "after its end")
case("zip: a flipped bit", lambda: flipped(f := rosinality(networks()[0]), len(f) // 2), "checksum|where its directory says")
case(
    "zip: a forbidden name",
    lambda: changed(data_pkl=b"\x80\x02" + called("os", "system", text("true") + b"\x85") + b"."),
    r"names os\.system",
)
case("zip: a published name", lambda: changed(data_pkl=b"\x80\x02" + blob(old(stored(2), **GOOD)) + b"."), r"names torch\.storage")
case("zip: two pickles", lambda: changed(data_pkl=unzipped()["archive/data.pkl"] + b"\x80\x02N."), "after the end")
case("zip: a storage missing", lambda: changed(data__0=None), "lacks the storage 0")
case("zip: a storage cut short", lambda: changed(data__0=b"\x00" * 3), "has 3 bytes")
case("zip: a storage named like a path", lambda: changed(data_pkl=b"\x80\x02" + stored(1, key="../version") + b"."), "lacks the storage")
case("zip: big-endian", lambda: changed(byteorder=b"big"), "little-endian")
case("zip: no networks", lambda: changed(data_pkl=b"\x80\x02}" + text("model") + b"Ns."), "holds no g_ema, .*model")
case("zip: a list", lambda: changed(data_pkl=b"\x80\x02]."), "holds no g_ema")
