"""The published layout of stylegan2-ada-pytorch and of stylegan3's StyleGAN2 networks.

A pickle of a dictionary with `G`, `D`, `G_ema`; each network is a tree of modules stored as data beside the source text of
its class, which is dropped unread. What a network is stands in the modules' attributes as far as shapes do not say it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hdgan.generator.foreign.inert import Module, Storage, Tensor, kind
from hdgan.generator.foreign.limits import MAX_PARTS, Budget, Refused, shown
from hdgan.generator.foreign.opcodes import Vocabulary, decode
from hdgan.generator.foreign.streams import read_old
from hdgan.generator.foreign.vocabulary import PLAIN, mapping

_VERSION = 6


@dataclass
class Network:
    """One network of a file: tensors and attributes by the dotted names of its modules."""

    class_name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Module to its state, of which only attributes of known names are looked at; not a copy, since many modules may share one."""
    classes: dict[str, str] = field(default_factory=dict)
    """Module to the name of its class."""


def read_networks(data: memoryview, budget: Budget) -> dict[str, Network]:
    """The networks in a published pickle: `G_ema`, and `G` and `D` where it has them.

    Raises:
        Refused: it is damaged, or of another layout.
    """
    value, end = decode(data, start=0, budget=budget, vocabulary=VOCABULARY)
    if end != len(data):
        raise Refused(f"has {len(data) - end} bytes after its end")
    if type(value) is not dict:
        raise Refused(f"holds {kind(value)} instead of networks by name")
    if not isinstance(value.get("G_ema"), Module):
        raise Refused("holds no generator G_ema")
    return {name: _network(value[name]) for name in ("G_ema", "G", "D") if isinstance(value.get(name), Module)}


def _network(root: Module) -> Network:
    """A module and all below it. Weights that training froze are buffers, so both kinds are read."""
    found = Network(root.class_name)
    waiting: list[tuple[str, Module]] = [("", root)]
    num = 0
    while waiting:
        path, module = waiting.pop()
        found.classes[path] = module.class_name
        found.attributes[path] = module.state
        for group in ("_parameters", "_buffers", "_modules"):
            entries = _named(module.state.get(group), group)
            num += len(entries)
            if num > MAX_PARTS:
                raise Refused(f"holds a network of more than {MAX_PARTS} parts")
            for name, item in entries.items():
                dotted = f"{path}.{name}" if path else name
                if group == "_modules" and isinstance(item, Module):
                    waiting.append((dotted, item))
                elif group != "_modules" and isinstance(item, Tensor) and dotted not in found.tensors:
                    found.tensors[dotted] = item
                elif item is not None:
                    raise Refused(f"holds {kind(item)} as {shown(dotted)}")
    return found


def _named(group: Any, what: str) -> dict[str, Any]:
    if type(group) is not dict:
        raise Refused(f"holds a network part without {what}")
    if len(group) > MAX_PARTS:
        raise Refused(f"holds a network of more than {MAX_PARTS} parts")
    for name in group:
        if type(name) is not str or not name or "." in name or len(name) > 64:
            raise Refused(f"holds a network part with an impossible name in {what}")
    return group


def _module(arguments: tuple[Any, ...], _budget: Budget) -> Module:
    meta = arguments[0] if len(arguments) == 1 else None
    if type(meta) is not dict or meta.get("type") != "class" or type(meta.get("version")) is not int:
        raise Refused("builds a network part in an unusual way")
    if meta["version"] > _VERSION:
        raise Refused(f"stores its networks in version {meta['version']}, and up to {_VERSION} is known")
    if type(meta.get("class_name")) is not str or type(meta.get("state")) is not dict:
        raise Refused("holds a network part without a class name or a state")
    return Module(meta["class_name"], meta["state"])  # the source text, `module_src`, stays behind


def _storage(arguments: tuple[Any, ...], budget: Budget) -> Storage:
    """A storage that was saved by torch inside the pickle; its stream may not hold such a thing again."""
    if len(arguments) != 1 or not isinstance(arguments[0], memoryview):
        raise Refused("builds a storage in an unusual way")
    value = read_old(arguments[0], budget)
    if not isinstance(value, Storage):
        raise Refused(f"holds {kind(value)} where a storage belongs")
    return value


VOCABULARY: Vocabulary = {
    **PLAIN,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _module,
    ("dnnlib.util", "EasyDict"): mapping,
    ("torch.storage", "_load_from_bytes"): _storage,
}
"""What a published pickle holds."""
