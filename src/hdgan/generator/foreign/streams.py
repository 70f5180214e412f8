"""torch's two file formats as data: the old one (pickles, then numbers, in one stream) and the zip archive since torch 1.6."""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import Any

from hdgan.generator.foreign.inert import SIZES, Storage
from hdgan.generator.foreign.limits import MAX_ENTRIES, Budget, Refused, shown
from hdgan.generator.foreign.opcodes import decode
from hdgan.generator.foreign.vocabulary import TORCH, storage

ZIP_START = b"PK\x03\x04"
OLD_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The first pickle of an old file: torch's magic number."""
_OLD_PROTOCOL = 1001
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAX_32 = 0xFFFFFFFF
_HARMLESS_FLAGS = 0x0808
"""Sizes after the content; names in UTF-8."""


def read_old(data: memoryview, budget: Budget) -> Any:
    """The value in an old file.

    Raises:
        Refused: the file is damaged, or not of this kind.
    """
    if bytes(data[: len(OLD_START)]) != OLD_START:
        raise Refused("holds something that torch did not write")
    storages: dict[str, Storage] = {}

    def storage_of(identity: Any) -> Storage:
        made, key = storage(identity)
        return _same(storages.setdefault(key, made), made)

    at = len(OLD_START)
    protocol, at = decode(data, start=at, budget=budget, vocabulary={})
    if protocol != _OLD_PROTOCOL:
        raise Refused("is of another version of torch's old format")
    system, at = decode(data, start=at, budget=budget, vocabulary={})
    if type(system) is not dict or system.get("little_endian") is not True:
        raise Refused("has numbers that are not little-endian")
    value, at = decode(data, start=at, budget=budget, vocabulary=TORCH, storage_of=storage_of)
    keys, at = decode(data, start=at, budget=budget, vocabulary={})
    if type(keys) is not list or any(type(key) is not str for key in keys) or len(keys) != len(storages) or set(keys) != set(storages):
        raise Refused("lists other storages than it uses")
    for key in keys:
        at = _attach(storages[key], data, at)
    if at != len(data):
        raise Refused(f"has {len(data) - at} bytes after its end")
    return value


def read_zip(data: memoryview, budget: Budget) -> Any:
    """The value in a zip archive of torch.

    Raises:
        Refused: the archive is damaged, compressed, or not of this kind.
    """
    entries = zip_entries(data)
    roots = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise Refused("is a zip archive without torch's data.pkl")
    root = roots[0]
    if f"{root}/constants.pkl" in entries:
        raise Refused("is a TorchScript program, not a checkpoint")
    order = entries.get(f"{root}/byteorder")
    if order is not None and bytes(order) != b"little":
        raise Refused("has numbers that are not little-endian")
    storages: dict[str, Storage] = {}

    def storage_of(identity: Any) -> Storage:
        made, key = storage(identity)
        if key not in storages:
            content = entries.get(f"{root}/data/{key}")
            if content is None:
                raise Refused(f"lacks the storage {shown(key)}")
            made.attach(content)
            storages[key] = made
        return _same(storages[key], made)

    stream = entries[f"{root}/data.pkl"]
    value, end = decode(stream, start=0, budget=budget, vocabulary=TORCH, storage_of=storage_of)
    if end != len(stream):
        raise Refused("has bytes after the end of its data.pkl")
    return value


def zip_entries(data: memoryview) -> dict[str, memoryview]:
    """Name to content of a zip archive of which nothing is compressed; the names are keys and never paths.

    Raises:
        Refused: an entry is compressed, encrypted, overlapping, named like a path upwards, or fails its checksum.
    """
    num, size, start, end = _directory(data)
    if num > MAX_ENTRIES or start + size > end:
        raise Refused("is a zip archive with an impossible directory")
    entries: dict[str, memoryview] = {}
    at = start
    spans = []
    for _ in range(num):
        at, name, crc, span = _entry(data, at, start + size, limit=start)
        if name in entries:
            raise Refused(f"is a zip archive with two entries {shown(name)}")
        entries[name] = data[span[1] : span[2]]
        spans.append((*span, name, crc))
    if at != start + size:
        raise Refused("is a zip archive with an impossible directory")
    spans.sort()
    if any(after[0] < before[2] for before, after in itertools.pairwise(spans)):
        raise Refused("is a zip archive with overlapping entries")
    for _, _, _, name, crc in spans:  # last: of overlapping entries it could take for ever
        if zlib.crc32(entries[name]) != crc:
            raise Refused(f"fails the checksum of its entry {shown(name)}")
    return entries


def _directory(data: memoryview) -> tuple[int, int, int, int]:
    """Number of entries, bytes of the directory, its first byte, and where it must end."""
    end = len(data) - 22
    if end < 0 or bytes(data[end : end + 4]) != _END:
        raise Refused("is a zip archive that is cut short or has something after its end")
    disk, first, here, num, size, start, comment = struct.unpack("<4H2IH", data[end + 4 :])
    if disk or first or here != num or comment:
        raise Refused("is a zip archive in parts or with a comment")
    if end >= 20 and bytes(data[end - 20 : end - 16]) == _LOCATOR:
        at = int.from_bytes(data[end - 12 : end - 4], "little")
        if at + 56 > end - 20 or bytes(data[at : at + 4]) != _END64:
            raise Refused("is a zip archive with an impossible directory")
        num, size, start = struct.unpack("<3Q", data[at + 32 : at + 56])
        end = at
    return num, size, start, end


def _entry(data: memoryview, at: int, end: int, *, limit: int) -> tuple[int, str, int, tuple[int, int, int]]:
    """The entry that the directory names at byte `at`: where the next begins, name, checksum; where it and its content begin and end."""
    if at + _CENTRAL.size > end:
        raise Refused("is a zip archive with an impossible directory")
    fields = _CENTRAL.unpack(data[at : at + _CENTRAL.size])
    signature, _, _, flags, method, _, _, crc, packed, size, num_name, num_extra, num_comment, _, _, _, offset = fields
    after_name = at + _CENTRAL.size + num_name
    following = after_name + num_extra + num_comment
    if signature != b"PK\x01\x02" or following > end:
        raise Refused("is a zip archive with an impossible directory")
    raw = bytes(data[at + _CENTRAL.size : after_name])
    name = _checked_name(raw)
    packed, size, offset = _wide(data[after_name : after_name + num_extra], packed=packed, size=size, offset=offset)
    if method or packed != size or flags & ~_HARMLESS_FLAGS:
        raise Refused(f"has a compressed or encrypted entry {shown(name)}")
    if offset + _LOCAL.size > limit:
        raise Refused(f"has no entry {shown(name)} where its directory says")
    local = _LOCAL.unpack(data[offset : offset + _LOCAL.size])
    begin = offset + _LOCAL.size + local[9] + local[10]
    is_same = local[0] == ZIP_START and bytes(data[offset + _LOCAL.size : offset + _LOCAL.size + local[9]]) == raw
    if not is_same or begin + size > limit:
        raise Refused(f"has no entry {shown(name)} where its directory says")
    return following, name, crc, (offset, begin, begin + size)


def _wide(extra: memoryview, *, packed: int, size: int, offset: int) -> tuple[int, int, int]:
    """Sizes and offset, from the extra field where they need more than 32 bits."""
    at = 0
    while at + 4 <= len(extra):
        kind, num = struct.unpack("<2H", extra[at : at + 4])
        if kind == 1:
            body = extra[at + 4 : at + 4 + num]
            numbers = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
            values = [next(numbers, _MAX_32) if value == _MAX_32 else value for value in (size, packed, offset)]
            return values[1], values[0], values[2]
        at += 4 + num
    return packed, size, offset


def _checked_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("is a zip archive with a name that is not UTF-8") from None
    if "\\" in name or not name.isprintable() or any(part in ("", ".", "..") for part in name.split("/")):
        raise Refused(f"is a zip archive with an entry named {shown(name)}")
    return name


def _same(known: Storage, named: Storage) -> Storage:
    if (known.dtype, known.numel) != (named.dtype, named.numel):
        raise Refused("describes one storage in two ways")
    return known


def _attach(store: Storage, data: memoryview, at: int) -> int:
    """Gives an old file's storage the bytes that begin at `at`; where they end."""
    if at + 8 > len(data):
        raise Refused("ends before its numbers do")
    numel = int.from_bytes(data[at : at + 8], "little", signed=True)
    if numel != store.numel:
        raise Refused("states two sizes of one storage")
    end = at + 8 + numel * SIZES[store.dtype]
    if end > len(data):
        raise Refused("ends before its numbers do")
    store.attach(data[at + 8 : end])
    return end
