"""Networks that must be refused, in files that are whole: name to (what makes the file, the reason that must be given)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from tests.generator.foreign.hostile import Cases, add
from tests.generator.foreign.writers import SPEC, K, Persistent, dense, generator_tree, networks, official, part, rosinality

CASES: Cases = {}
case = partial(add, CASES)

# Networks that are incomplete, of another kind, or not finite.
State = dict[str, Any]


def tree(content: State, path: str, network: str = "G_ema") -> State:
    """The state of a module of a published file."""
    module = content[network]
    for name in filter(None, path.split(".")):
        module = module.state["_modules"][name]
    return module.state  # type: ignore[no-any-return]


def parameters(content: State, path: str, network: str = "G_ema") -> State:
    return tree(content, path, network)["_parameters"]  # type: ignore[no-any-return]


def network(name: str, change: Callable[[State], Any], reason: str) -> None:
    case(f"network: {name}", lambda: official(*networks(), change=change), reason)


def _put(path: str, key: str, value: Any, network_name: str = "G_ema") -> Callable[[State], None]:
    return lambda content: tree(content, path, network_name).__setitem__(key, value)


def _fill(path: str, key: str, value: float, network_name: str = "G_ema") -> Callable[[State], None]:
    def change(content: State) -> None:
        kept = parameters(content, path, network_name)[key]
        kept.data.view(-1)[:1] = value
        if value == 0:
            kept.data.zero_()

    return change


def _reshaped(path: str, key: str, *shape: int, network_name: str = "G_ema") -> Callable[[State], None]:
    return lambda content: parameters(content, path, network_name).__setitem__(key, torch.nn.Parameter(torch.ones(shape)))


network(
    "a weight that is not a number",
    _fill("synthesis.b8.conv0", "weight", float("nan")),
    r"synthesis\.b8\.conv0\.weight that are not finite",
)
network("an infinite bias", _fill("mapping.fc0", "bias", float("inf")), r"mapping\.fc0\.bias that are not finite")
network("a weight of zeros", _fill("synthesis.b16.torgb", "weight", 0.0), r"nothing but zeros in synthesis\.b16\.torgb\.weight")
network(
    "a discriminator's weight that is not a number",
    _fill("b16.conv0", "weight", float("nan"), "D"),
    r"b16\.conv0\.weight that are not finite",
)
case(
    "network: labels and no latents",
    lambda: official(networks(replace(SPEC, label_dim=2, z_dim=0))[0]),
    "takes labels and no latents",
)
network("a missing weight", lambda c: parameters(c, "synthesis.b8.conv1").pop("bias"), r"lacks synthesis\.b8\.conv1\.bias")
network("a missing block", lambda c: tree(c, "synthesis")["_modules"].pop("b8"), "has blocks of 4, 16 px")
network(
    "a missing mapping layer", lambda c: tree(c, "mapping")["_modules"].pop("fc1"), "states num_layers 2, and its weights are of one with 1"
)
network("a first mapping layer less", lambda c: tree(c, "mapping")["_modules"].pop("fc0"), r"lacks the weight mapping\.fc0\.weight")
network("a weight too many", _reshaped("synthesis.b8.conv1", "weight2", 3), r"has unknown synthesis\.b8\.conv1\.weight2")
network("a transposed weight", _reshaped("mapping.fc0", "weight", 6, 5), r"scales mapping\.fc0 in another way")
network(
    "a weight of another width",
    _reshaped("synthesis.b8.conv0", "weight", 8, 7, 3, 3),
    r"conv0\.weight \[8, 7, 3, 3\] instead of \[8, 8, 3, 3\]",
)
network("a weight without dimensions", _reshaped("synthesis.b8.conv1", "weight"), r"synthesis\.b8\.conv1\.weight in the shape \[\]")
network("an empty weight", _reshaped("synthesis.b8.conv1", "weight", 0, 8, 3, 3), r"in the shape \[0, 8, 3, 3\]")
network("widths that follow no rule", _reshaped("synthesis.b8.conv1", "weight", 6, 6, 3, 3), "channels must follow")
network(
    "whole numbers as weights",
    lambda c: parameters(c, "synthesis.b4.conv1").__setitem__("weight", torch.ones(8, 8, 3, 3, dtype=torch.int32)),
    "stored as int32",
)
network(
    "numbers too large for float32",
    lambda c: parameters(c, "synthesis.b4.conv1").__setitem__("weight", torch.full((8, 8, 3, 3), 1e300, dtype=torch.float64)),
    "not finite",
)
network("a generator of another architecture", _put("synthesis.b8", "architecture", "resnet"), "architecture resnet, and skip is read")
network("a discriminator of another architecture", _put("b8", "architecture", "skip", "D"), "architecture skip, and resnet or orig is read")
network("a discriminator of two architectures", _put("b8", "architecture", "orig", "D"), "several architectures, orig and resnet")
network("an architecture that is a list", _put("b8", "architecture", [], "D"), "architecture a list")
network("another activation", _put("synthesis.b8.conv0", "activation", "swish"), "another activation than lrelu")
network("another gain", _put("mapping.fc1", "weight_gain", 0.5), r"scales mapping\.fc1 in another way")
network("another gain of an affine layer", _put("synthesis.b8.conv1.affine", "bias_gain", 2.0), "in another way")
network(
    "mapping layers that differ",
    lambda c: tree(c, "mapping.fc1").update(bias_gain=0.1, weight_gain=0.1 / 5**0.5),
    "different learning rates",
)
network("a gain that is a text", _put("mapping.fc1", "bias_gain", "0.01"), "no finite number")
network(
    "two limits of activations",
    lambda c: (_put("synthesis.b8.conv0", "conv_clamp", 256)(c), _put("synthesis.b8.conv1", "conv_clamp", 8)(c)),
    "different values",
)
network(
    "another filter", lambda c: tree(c, "synthesis.b8.conv0")["_buffers"].__setitem__("resample_filter", K.flip(0) * 2), "another filter"
)
network(
    "a filter of six", lambda c: tree(c, "b8.skip", "D")["_buffers"].__setitem__("resample_filter", torch.ones(6, 6) / 36), "another filter"
)
network("a size that it has not", _put("", "z_dim", 512), "states z_dim 512, and its weights are of one with 6")
network("a resolution that is a list", _put("", "img_resolution", []), "states img_resolution a list")
network("no averaged generator", lambda c: c.pop("G_ema"), "holds no generator G_ema")
network("a list as generator", lambda c: c.__setitem__("G_ema", []), "holds no generator G_ema")
network("two generators that differ", lambda c: c.__setitem__("G", official_generator(replace(SPEC, mapping_layers=3))), "different shapes")
network(
    "a discriminator that lacks a layer",
    lambda c: tree(c, "b16", "D")["_modules"].pop("skip"),
    r"no discriminator of ours: it lacks b16\.skip\.weight",
)
network("statistics over no fixed group", _put("b4.mbstd", "group_size", None, "D"), "no fixed size")
network(
    "another class of generator",
    lambda c: c.__setitem__("G_ema", Persistent("StyleGenerator", c["G_ema"].state)),
    "has a StyleGenerator where a Generator belongs",
)
network(
    "an alias-free generator",
    lambda c: tree(c, "synthesis")["_modules"].__setitem__("input", part("SynthesisInput", {}, {})),
    "alias-free StyleGAN3",
)
network("a list among the weights", lambda c: tree(c, "mapping.fc0").__setitem__("_parameters", []), "without _parameters")
network(
    "a text among the weights", lambda c: parameters(c, "mapping.fc0").__setitem__("weight", "x"), r"holds a str as mapping\.fc0\.weight"
)
network("a name with a dot", lambda c: parameters(c, "mapping.fc0").__setitem__("a.b", torch.ones(1)), "impossible name")
network(
    "a weight that is also a buffer",
    lambda c: tree(c, "mapping.fc0")["_buffers"].__setitem__("bias", torch.ones(5)),
    r"holds a tensor as mapping\.fc0\.bias",
)
network(
    "a thousand mapping layers",
    lambda c: [
        tree(c, "mapping")["_modules"].__setitem__(f"fc{i}", dense({"weight": torch.ones(5, 5), "bias": torch.ones(5)}))
        for i in range(2, 1100)
    ],
    r"another activation than lrelu in mapping\.fc",
)


def official_generator(spec: Any) -> Persistent:
    return generator_tree(networks(spec)[0])


def foreign(name: str, change: Callable[[State], Any], reason: str) -> None:
    case(f"rosinality: {name}", lambda: rosinality(*networks(), change=change), reason)


def _set(key: str, value: Any, state: str = "g_ema") -> Callable[[State], None]:
    return lambda content: content[state].__setitem__(key, value)


foreign(
    "a weight that is not a number",
    _set("convs.0.activate.bias", torch.full((8,), float("nan"))),
    r"synthesis\.b8\.conv0\.bias that are not finite",
)
foreign("a weight of zeros", _set("convs.0.conv.weight", torch.zeros(1, 8, 8, 3, 3)), "nothing but zeros")
foreign("a missing weight", lambda c: c["g_ema"].pop("convs.0.activate.bias"), r"lacks synthesis\.b8\.conv0\.bias")
foreign("a missing noise map", lambda c: c["g_ema"].pop("noises.noise_2"), r"lacks synthesis\.b8\.conv1\.noise_const")
foreign(
    "a layer of another network",
    _set("to_rgbs.0.iwt.ll", torch.ones(2, 2)),
    r"weight to_rgbs\.0\.iwt\.ll, which rosinality's StyleGAN2 has not",
)
foreign(
    "a leading dimension of 2",
    _set("convs.0.conv.weight", torch.ones(2, 8, 8, 3, 3)),
    r"convs\.0\.conv\.weight in the shape \[2, 8, 8, 3, 3\]",
)
foreign("a weight without a leading dimension", _set("input.input", torch.ones(8, 4, 4)), r"input\.input in the shape|lacks|instead of")
foreign("another filter", _set("convs.0.conv.blur.kernel", K), "another filter")
foreign("two weights for one place", _set("noises.noise_02", torch.ones(1, 1, 8, 8)), "two weights for one place")
foreign("a mean latent of another width", lambda c: c.__setitem__("latent_avg", torch.ones(7)), r"mapping\.w_avg \[7\] instead of \[5\]")
foreign("a mean latent that is a text", lambda c: c.__setitem__("latent_avg", "x"), "as its mean latent")
foreign("a discriminator that lacks a weight", lambda c: c["d"].pop("final_linear.1.bias"), r"lacks b4\.out\.bias")
foreign("a discriminator of another network", _set("dwt.ll", torch.ones(2, 2), "d"), "which rosinality's StyleGAN2 has not")
foreign("a list among the weights", _set("style.1.weight", [1]), "where a weight belongs")
foreign("a weight by number", lambda c: c["g_ema"].__setitem__(3, torch.ones(1)), "where a weight belongs")
foreign("another depth than its settings", lambda c: setattr(c["args"], "n_mlp", 8), "states n_mlp 8, and its weights are of one with 2")
foreign("an empty generator", lambda c: c.__setitem__("g_ema", OrderedDict()), "has blocks of no size")
foreign("a layer of number 99", _set("convs.99.conv.weight", torch.ones(1, 8, 8, 3, 3)), r"has unknown synthesis\.b4503599627370496")
