"""The names that a readable checkpoint may hold, and what stands for each: arguments as data in, data out.

Every name that occurs in published StyleGAN2 checkpoints and in state dictionaries saved by torch is here; whatever else
a file names is refused, so nothing ever has to be recognised as dangerous.
"""

from __future__ import annotations

import struct
from typing import Any

from hdgan.generator.foreign.inert import DType, Name, Settings, Storage, Tensor, kind, view
from hdgan.generator.foreign.limits import MAX_EXTENT, Budget, Refused, shown
from hdgan.generator.foreign.opcodes import Vocabulary, check_key

_STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "DoubleStorage": "float64",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_SCALARS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i"}


def storage(identity: Any) -> tuple[Storage, str]:
    """An empty storage and its key, of torch's persistent id (`storage`, class, key, device, number of numbers).

    Raises:
        Refused: it is another kind of id.
    """
    if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
        raise Refused("refers to something that is no storage")
    _, class_, key, _, numel = identity[:5]
    if not isinstance(class_, Name) or class_.module != "torch" or class_.name not in _STORAGES:
        raise Refused("refers to a storage of an unknown kind")
    if type(key) is not str or type(numel) is not int or not 0 <= numel < MAX_EXTENT:
        raise Refused("refers to a storage without a key or a size")
    if identity[5:] not in ((), (None,)):
        raise Refused("refers to a part of a storage, as only very old files do")
    return Storage(_STORAGES[class_.name], numel), key


def mapping(arguments: tuple[Any, ...], _budget: Budget) -> dict[Any, Any]:
    """A new dictionary: the file fills it afterwards.

    Raises:
        Refused: it is given content in another way.
    """
    if arguments:
        raise Refused("builds a dictionary in an unusual way")
    return {}


def rebuilt_tensor(arguments: tuple[Any, ...], _budget: Budget) -> Tensor:
    """A tensor of (storage, offset, shape, strides, ...).

    Raises:
        Refused: see `view`.
    """
    if len(arguments) not in (6, 7):
        raise Refused("builds a tensor in an unusual way")
    return view(*arguments[:4])


def rebuilt_parameter(arguments: tuple[Any, ...], _budget: Budget) -> Tensor:
    """The tensor that a parameter of (tensor, ...) is.

    Raises:
        Refused: it is no tensor.
    """
    if len(arguments) != 3 or not isinstance(arguments[0], Tensor):
        raise Refused("builds a parameter of something that is no tensor")
    return arguments[0]


def _settings(arguments: tuple[Any, ...], _budget: Budget) -> Settings:
    if arguments:
        raise Refused("builds settings in an unusual way")
    return Settings()


def _set(arguments: tuple[Any, ...], _budget: Budget) -> set[Any]:
    items = arguments[0] if len(arguments) == 1 else None
    if type(items) is not list:
        raise Refused("builds a set in an unusual way")
    for item in items:
        check_key(item)
    return set(items)


def _bytes(arguments: tuple[Any, ...], _budget: Budget) -> memoryview:
    if arguments:
        raise Refused("builds bytes in an unusual way")
    return memoryview(b"")


def _encoded(arguments: tuple[Any, ...], budget: Budget) -> memoryview:
    """Bytes as protocol 2 writes them: text of which each letter is one byte."""
    if len(arguments) != 2 or type(arguments[0]) is not str or arguments[1] not in ("latin1", "latin-1"):
        raise Refused("builds bytes in an unusual way")
    budget.spend_bytes(len(arguments[0]))
    try:
        return memoryview(arguments[0].encode("latin-1"))
    except UnicodeEncodeError:
        raise Refused("has bytes that are none") from None


def _dtype(arguments: tuple[Any, ...], _budget: Budget) -> DType:
    code = arguments[0] if arguments else None
    if type(code) is not str or code not in _SCALARS:
        raise Refused(f"has a number format {shown(code) if isinstance(code, str) else kind(code)} that no checkpoint needs")
    return DType(code)


def _scalar(arguments: tuple[Any, ...], _budget: Budget) -> float | int:
    if len(arguments) != 2 or not isinstance(arguments[0], DType) or not isinstance(arguments[1], memoryview):
        raise Refused("builds a number in an unusual way")
    form = _SCALARS[arguments[0].code]
    if len(arguments[1]) != struct.calcsize(form):
        raise Refused("has a number of the wrong length")
    return struct.unpack(form, arguments[1])[0]  # type: ignore[no-any-return]


PLAIN: Vocabulary = {
    ("collections", "OrderedDict"): mapping,
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
    ("builtins", "bytes"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    ("_codecs", "encode"): _encoded,
    ("numpy", "dtype"): _dtype,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("torch._utils", "_rebuild_tensor_v2"): rebuilt_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuilt_parameter,
}
"""What both kinds of file hold."""

TORCH: Vocabulary = {**PLAIN, **{("torch", name): None for name in _STORAGES}, ("argparse", "Namespace"): _settings}
"""What a file of `torch.save` holds."""
