"""What a published network says of itself beside its shapes, checked against what our networks can be.

Old files lack attributes that later ones have: what is absent is taken to be as published.
"""

from __future__ import annotations

import math
import re
from typing import Any

from hdgan.generator.foreign import fit
from hdgan.generator.foreign.inert import kind
from hdgan.generator.foreign.limits import Refused, shown
from hdgan.generator.foreign.official import Network
from hdgan.generator.spec import NetworkSpec

_ROUNDING = 1e-6
_ACTIVATIONS = (
    (re.compile(r"synthesis\.b\d+\.conv[01]|mapping\.fc\d+|b\d+\.(fromrgb|conv[01])|b4\.(conv|fc)"), "lrelu"),
    (re.compile(r"synthesis\.b\d+\.(conv[01]|torgb)\.affine|mapping\.embed|b\d+\.skip|b4\.out"), "linear"),
)
_MAPPING_LR = 0.01
_ALIAS_FREE = "SynthesisInput"


def generator_traits(network: Network) -> dict[str, Any]:
    """The fields of `NetworkSpec` that the shapes of a generator do not tell.

    Raises:
        Refused: the network is of another kind than ours.
    """
    if _ALIAS_FREE in network.classes.values() or any(name.startswith("synthesis.input.") for name in network.tensors):
        raise Refused("is an alias-free StyleGAN3 generator, which is another network; only StyleGAN2 is read")
    _check_kind(network, "Generator", ("skip",))
    blocks = [attributes for path, attributes in network.attributes.items() if re.fullmatch(r"synthesis\.b\d+", path)]
    num_half = sum(1 for attributes in blocks if attributes.get("use_fp16") is True)
    clamps = {_number(attributes["conv_clamp"], "conv_clamp") for attributes in network.attributes.values() if attributes.get("conv_clamp")}
    if len(clamps) > 1:
        raise Refused("limits its layers to different values")
    return {
        "mapping_lr": mapping_lr(network),
        "low_precision": "float16" if num_half else "float32",
        "num_low_precision": num_half,
        "clamp": min(clamps, default=None),
    }


def discriminator_traits(network: Network) -> dict[str, Any]:
    """The fields of `NetworkSpec` that only the discriminator tells.

    Raises:
        Refused: the network is of another kind than ours.
    """
    kinds = _check_kind(network, "Discriminator", ("resnet", "orig"))
    if len(kinds) > 1:
        raise Refused(f"is a Discriminator of several architectures, {' and '.join(sorted(kinds))}")
    has_skips = any(name.endswith(".skip.weight") for name in network.tensors)
    group: Any = network.attributes.get("b4.mbstd", {}).get("group_size", 4)
    if "b4.mbstd" not in network.attributes:
        group = 0
    elif type(group) is not int or group < 1:
        raise Refused("compares images within groups of no fixed size")
    return {"minibatch_std_group": group, "discriminator": min(kinds, default="resnet" if has_skips else "orig")}


def mapping_lr(network: Network) -> float:
    """The learning-rate multiplier of a mapping network.

    Raises:
        Refused: its layers have several.
    """
    gains = {}
    for path, attributes in network.attributes.items():
        if re.fullmatch(r"mapping\.fc\d+", path):
            gains[path] = _number(attributes.get("bias_gain", _MAPPING_LR), "bias_gain")
            _check_gain(network, path, attributes, gains[path])
    if len(set(gains.values())) > 1:
        raise Refused("has mapping layers with different learning rates")
    lr = next(iter(gains.values()), _MAPPING_LR)
    if not 1e-6 <= lr <= 10:
        raise Refused(f"has a mapping network with a learning-rate multiplier of {lr:g}")
    return lr


def check_sizes(network: Network, spec: NetworkSpec) -> None:
    """Passes when what a network states of its size agrees with its weights.

    Raises:
        Refused: it does not.
    """
    sizes = {
        "z_dim": spec.z_dim,
        "c_dim": spec.label_dim,
        "w_dim": spec.w_dim,
        "img_resolution": spec.resolution,
        "img_channels": spec.image_channels,
        "num_ws": spec.num_ws,
    }
    fit.check_stated(network.attributes[""], sizes)
    fit.check_stated(network.attributes.get("mapping", {}), {"num_layers": spec.mapping_layers})


def _check_kind(network: Network, class_name: str, architectures: tuple[str, ...]) -> set[str]:
    """The architectures that are stated, after a look at class, architecture, activations and gains: those of our networks."""
    found = set()
    if network.class_name != class_name:
        raise Refused(f"has a {shown(network.class_name)} where a {class_name} belongs")
    for path, attributes in network.attributes.items():
        if "architecture" in attributes:
            stated = attributes["architecture"]
            if not isinstance(stated, str) or stated not in architectures:
                words = shown(stated) if isinstance(stated, str) else kind(stated)
                raise Refused(f"is a {class_name} of architecture {words}, and {' or '.join(architectures)} is read")
            found.add(stated)
        for pattern, activation in _ACTIVATIONS:
            if pattern.fullmatch(path) and attributes.get("activation", activation) != activation:
                raise Refused(f"has another activation than {activation} in {shown(path)}")
        if re.fullmatch(r".*\.affine|mapping\.embed|b4\.(fc|out)", path):
            _check_gain(network, path, attributes, 1.0)
    return found


def _check_gain(network: Network, path: str, attributes: dict[str, Any], lr: float) -> None:
    """The layer scales its weight by lr / sqrt(inputs) and its bias by lr."""
    weight = network.tensors.get(f"{path}.weight")
    if weight is None or len(weight.shape) != 2 or not weight.shape[1]:
        return  # refused by name when the weights are compared
    usual = lr / math.sqrt(weight.shape[1])
    stated = _number(attributes.get("weight_gain", usual), "weight_gain"), _number(attributes.get("bias_gain", lr), "bias_gain")
    if not all(math.isclose(a, b, rel_tol=_ROUNDING) for a, b in zip(stated, (usual, lr), strict=True)):
        raise Refused(f"scales {shown(path)} in another way than published networks")


def _number(value: Any, what: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Refused(f"has {kind(value)} that is no finite number as {what}")
    return float(value)
