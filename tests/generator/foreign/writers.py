"""Writes checkpoints in the layouts that other software publishes, from our own networks and the facts of those layouts.

Real pickle and real torch.save do the work, in tests only: the published classes are imitated by names in modules that
exist while a file is written and never when it is read.
"""

from __future__ import annotations

import argparse
import io
import math
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.spec import NetworkSpec
from tests.generator.conftest import fill

SPEC = NetworkSpec(resolution=16, z_dim=6, w_dim=5, channel_base=64, channel_max=8, mapping_layers=2)
K = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
SOURCE = "import os\nos.system('false')\nraise SystemExit('the embedded source was run')\n"


def networks(spec: NetworkSpec = SPEC) -> tuple[Generator, Discriminator]:
    """A generator and a discriminator with weights from their own names."""
    G, D = Generator(spec), Discriminator(spec)
    fill(G)
    fill(D)
    return G, D


class EasyDict(dict):
    pass


class Persistent:
    """A module that pickles as the published ones do."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name = class_name
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = EasyDict(type="class", version=6, module_src=SOURCE, class_name=self.class_name, state=self.state)
        return (sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,))


@contextmanager
def published_names() -> Iterator[None]:
    """The modules that the published classes live in, for as long as a file is written."""

    def _reconstruct_persistent_obj(meta: object) -> None:
        raise AssertionError("the file was loaded")

    made = {name: types.ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")}
    _reconstruct_persistent_obj.__module__, _reconstruct_persistent_obj.__qualname__ = (
        "torch_utils.persistence",
        "_reconstruct_persistent_obj",
    )
    made["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    EasyDict.__module__, before = "dnnlib.util", EasyDict.__module__
    made["dnnlib.util"].EasyDict = EasyDict
    sys.modules.update(made)
    try:
        yield
    finally:
        EasyDict.__module__ = before
        for name in made:
            del sys.modules[name]


def official(
    G: Generator,
    D: Discriminator | None = None,
    *,
    protocol: int = 4,
    frozen: int = 0,
    d_lr: float = 0.01,
    dtype: torch.dtype = torch.float32,
    change: Any = None,
) -> bytes:
    """A pickle in the published layout; `frozen` blocks of D are buffers; `change` may alter the dictionary before it is written."""
    content: dict[str, Any] = {
        "training_set_kwargs": EasyDict(class_name="x", path="/data", resolution=G.spec.resolution),
        "augment_pipe": None,
    }
    content["G_ema"] = generator_tree(G, dtype)
    if D is not None:
        content["G"] = generator_tree(G, dtype)
        content["D"] = discriminator_tree(D, frozen=frozen, lr=d_lr)
    if change is not None:
        change(content)
    with published_names():
        return pickle.dumps(content, protocol=protocol)


def part(
    class_name: str, tensors: dict[str, torch.Tensor], modules: dict[str, Any], *, is_buffer: bool = False, **attributes: Any
) -> Persistent:
    """One module with what `torch.nn.Module` keeps of it."""
    buffers = ("resample_filter", "noise_const", "w_avg")
    is_kept = {name: is_buffer or name in buffers for name in tensors}
    state = {
        "training": False,
        "_parameters": OrderedDict((k, torch.nn.Parameter(v.clone())) for k, v in tensors.items() if not is_kept[k]),
        "_buffers": OrderedDict((k, v.clone()) for k, v in tensors.items() if is_kept[k]),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_modules": OrderedDict(modules),
        "_init_args": (),
        "_init_kwargs": EasyDict(attributes),
        **attributes,
    }
    return Persistent(class_name, state)


def dense(weights: dict[str, torch.Tensor], *, lr: float = 1.0, activation: str = "linear") -> Persistent:
    gain = lr / np.sqrt(weights["weight"].shape[1])
    return part("FullyConnectedLayer", weights, {}, activation=activation, weight_gain=gain, bias_gain=lr)


def below(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The weights right below `prefix`, by their last names."""
    return {
        name[len(prefix) + 1 :]: value
        for name, value in weights.items()
        if name.startswith(f"{prefix}.") and "." not in name[len(prefix) + 1 :]
    }


def generator_tree(G: Generator, dtype: torch.dtype = torch.float32) -> Persistent:
    spec, weights = G.spec, {name: value.to(dtype) for name, value in G.state_dict().items()}
    blocks = {}
    for r in spec.block_resolutions:
        path = f"synthesis.b{r}"
        layers: dict[str, Any] = {}
        for name in ("conv0", "conv1", "torgb"):
            if f"{path}.{name}.weight" not in weights:
                continue
            own = below(weights, f"{path}.{name}")
            affine = {"affine": dense(below(weights, f"{path}.{name}.affine"))}
            if name == "torgb":
                layers[name] = part("ToRGBLayer", own, affine, conv_clamp=spec.clamp, weight_gain=1 / np.sqrt(own["weight"].shape[1]))
            else:
                up = 2 if name == "conv0" else 1
                layers[name] = part(
                    "SynthesisLayer", own | {"resample_filter": K}, affine,
                    resolution=r, up=up, use_noise=True, activation="lrelu", conv_clamp=spec.clamp, padding=1, act_gain=math.sqrt(2),
                )  # fmt: skip
        first = {"const": weights["synthesis.b4.const"]} if r == 4 else {}
        blocks[f"b{r}"] = part(
            "SynthesisBlock", first | {"resample_filter": K}, layers,
            in_channels=0 if r == 4 else spec.channels(r // 2), w_dim=spec.w_dim, resolution=r, img_channels=spec.image_channels,
            is_last=r == spec.resolution, architecture="skip", use_fp16=spec.is_low_precision(r), num_conv=1 + (r > 4), num_torgb=1,
        )  # fmt: skip
    synthesis = part(
        "SynthesisNetwork",
        {},
        blocks,
        w_dim=spec.w_dim,
        img_resolution=spec.resolution,
        img_channels=spec.image_channels,
        num_ws=spec.num_ws,
    )
    layers = {f"fc{i}": dense(below(weights, f"mapping.fc{i}"), lr=spec.mapping_lr, activation="lrelu") for i in range(spec.mapping_layers)}
    if spec.label_dim:
        layers["embed"] = dense(below(weights, "mapping.embed"))
    sizes = {"z_dim": spec.z_dim, "c_dim": spec.label_dim, "w_dim": spec.w_dim, "num_ws": spec.num_ws}
    mapping = part("MappingNetwork", below(weights, "mapping"), layers, num_layers=spec.mapping_layers, w_avg_beta=0.995, **sizes)
    return part(
        "Generator",
        {},
        {"synthesis": synthesis, "mapping": mapping},
        img_resolution=spec.resolution,
        img_channels=spec.image_channels,
        **sizes,
    )


def discriminator_tree(D: Discriminator, *, frozen: int = 0, lr: float = 0.01) -> Persistent:
    spec, weights = D.spec, D.state_dict()
    blocks: dict[str, Any] = {}
    for num, r in enumerate(reversed(spec.block_resolutions[1:])):
        layers = {}
        for name in ("fromrgb", "conv0", "conv1", "skip"):
            if own := below(weights, f"b{r}.{name}"):
                is_buffer = num < frozen
                activation = "linear" if name == "skip" else "lrelu"
                layers[name] = part(
                    "Conv2dLayer", own | {"resample_filter": K}, {}, is_buffer=is_buffer, activation=activation, conv_clamp=None
                )
        blocks[f"b{r}"] = part(
            "DiscriminatorBlock", {"resample_filter": K}, layers, resolution=r, architecture=spec.discriminator, use_fp16=False
        )
    epilogue = {
        "mbstd": part("MinibatchStdLayer", {}, {}, group_size=spec.minibatch_std_group, num_channels=1),
        "conv": part("Conv2dLayer", below(weights, "b4.conv") | {"resample_filter": K}, {}, activation="lrelu"),
        "fc": dense(below(weights, "b4.fc"), activation="lrelu"),
        "out": dense(below(weights, "b4.out")),
    }
    blocks["b4"] = part("DiscriminatorEpilogue", {}, epilogue, cmap_dim=0, resolution=4, architecture=spec.discriminator)
    if spec.label_dim:
        layers = {f"fc{i}": dense(below(weights, f"mapping.fc{i}"), lr=lr, activation="lrelu") for i in range(8)}
        blocks["mapping"] = part("MappingNetwork", {}, layers | {"embed": dense(below(weights, "mapping.embed"))}, num_layers=8)
    return part("Discriminator", {}, blocks, c_dim=spec.label_dim, img_resolution=spec.resolution, img_channels=spec.image_channels)


def rosinality(
    G: Generator,
    D: Discriminator | None = None,
    *,
    is_zip: bool = True,
    with_mean: bool = True,
    with_noise: bool = True,
    change: Any = None,
) -> bytes:
    """A file in rosinality's layout, as written during training when there is a `D`, converted otherwise."""
    content: dict[str, Any] = {"g_ema": rosinality_generator(G, with_noise=with_noise)}
    if with_mean:
        content["latent_avg"] = G.mapping.w_avg.clone()
    if D is not None:
        content |= {"g": rosinality_generator(G, with_noise=with_noise), "d": rosinality_discriminator(D)}
        content["g_optim"] = {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}},
            "param_groups": [{"lr": 0.002, "betas": (0.0, 0.99), "params": [0]}],
        }
        content |= {
            "args": argparse.Namespace(size=G.spec.resolution, n_mlp=G.spec.mapping_layers, latent=G.spec.z_dim, path="x"),
            "ada_aug_p": np.float64(0.25),
        }
    if change is not None:
        change(content)
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def rosinality_generator(G: Generator, *, with_noise: bool = True) -> OrderedDict[str, torch.Tensor]:
    """Built layer by layer in the order of that network, not by renaming."""
    w = {name: value.clone() for name, value in G.state_dict().items()}
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for i in range(G.spec.mapping_layers):
        state[f"style.{i + 1}.weight"], state[f"style.{i + 1}.bias"] = w[f"mapping.fc{i}.weight"], w[f"mapping.fc{i}.bias"]
    state["input.input"] = w["synthesis.b4.const"][None]
    _styled(state, "conv1", w, "synthesis.b4.conv1")
    _to_rgb(state, "to_rgb1", w, "synthesis.b4.torgb")
    for k, r in enumerate(G.spec.block_resolutions[1:]):
        _styled(state, f"convs.{2 * k}", w, f"synthesis.b{r}.conv0")
        state[f"convs.{2 * k}.conv.blur.kernel"] = K * 4
        _styled(state, f"convs.{2 * k + 1}", w, f"synthesis.b{r}.conv1")
        _to_rgb(state, f"to_rgbs.{k}", w, f"synthesis.b{r}.torgb")
        state[f"to_rgbs.{k}.upsample.kernel"] = K * 4
    layers = [f"b{r}.conv{i}" for r in G.spec.block_resolutions for i in ((1,) if r == 4 else (0, 1))]
    for j, layer in enumerate(layers):
        if with_noise:
            state[f"noises.noise_{j}"] = w[f"synthesis.{layer}.noise_const"][None, None]
    state._metadata = OrderedDict(version=1)  # as state_dict() leaves it
    return state


def _styled(state: dict[str, torch.Tensor], name: str, w: dict[str, torch.Tensor], ours: str) -> None:
    state[f"{name}.conv.weight"] = w[f"{ours}.weight"][None]
    state[f"{name}.conv.modulation.weight"], state[f"{name}.conv.modulation.bias"] = w[f"{ours}.affine.weight"], w[f"{ours}.affine.bias"]
    state[f"{name}.noise.weight"] = w[f"{ours}.noise_strength"].reshape(1)
    state[f"{name}.activate.bias"] = w[f"{ours}.bias"]


def _to_rgb(state: dict[str, torch.Tensor], name: str, w: dict[str, torch.Tensor], ours: str) -> None:
    state[f"{name}.bias"] = w[f"{ours}.bias"].reshape(1, -1, 1, 1)
    state[f"{name}.conv.weight"] = w[f"{ours}.weight"][None]
    state[f"{name}.conv.modulation.weight"], state[f"{name}.conv.modulation.bias"] = w[f"{ours}.affine.weight"], w[f"{ours}.affine.bias"]


def rosinality_discriminator(D: Discriminator) -> OrderedDict[str, torch.Tensor]:
    w = {name: value.clone() for name, value in D.state_dict().items()}
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    finest = D.spec.resolution
    state["convs.0.0.weight"], state["convs.0.1.bias"] = w[f"b{finest}.fromrgb.weight"], w[f"b{finest}.fromrgb.bias"]
    for k, r in enumerate(reversed(D.spec.block_resolutions[1:]), start=1):
        state[f"convs.{k}.conv1.0.weight"], state[f"convs.{k}.conv1.1.bias"] = w[f"b{r}.conv0.weight"], w[f"b{r}.conv0.bias"]
        state[f"convs.{k}.conv2.0.kernel"] = K
        state[f"convs.{k}.conv2.1.weight"], state[f"convs.{k}.conv2.2.bias"] = w[f"b{r}.conv1.weight"], w[f"b{r}.conv1.bias"]
        state[f"convs.{k}.skip.0.kernel"], state[f"convs.{k}.skip.1.weight"] = K, w[f"b{r}.skip.weight"]
    state["final_conv.0.weight"], state["final_conv.1.bias"] = w["b4.conv.weight"], w["b4.conv.bias"]
    for i, name in enumerate(("fc", "out")):
        state[f"final_linear.{i}.weight"], state[f"final_linear.{i}.bias"] = w[f"b4.{name}.weight"], w[f"b4.{name}.bias"]
    return state
