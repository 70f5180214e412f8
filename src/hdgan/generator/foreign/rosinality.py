"""The layout of rosinality's stylegan2-pytorch: state dictionaries `g_ema`, `g`, `d` in a file of `torch.save`.

The same network under other names: convolutions carry a leading dimension of 1, layers are numbered instead of named by
their resolution, resampling kernels include the gain of 4, and the mean latent stands beside the weights, if at all.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from hdgan.generator.foreign import fit
from hdgan.generator.foreign.inert import Settings, Tensor, kind
from hdgan.generator.foreign.limits import Budget, Refused, shown
from hdgan.generator.spec import NetworkSpec
from hdgan.randomness import stream

LAYOUT = "rosinality/stylegan2-pytorch"
_NUM_MEAN = 4096
"""Latents that the mean latent is taken over where the file has none."""
_TRAITS = {"mapping_lr": 0.01}


def weights_of(value: Any, budget: Budget, *, only_generator: bool) -> fit.Weights:
    """The networks in a value of `torch.save`.

    Raises:
        Refused: it holds something else, or networks that do not fit.
    """
    if type(value) is not dict or not isinstance(value.get("g_ema"), dict):
        found = fit.listed([key for key in value if isinstance(key, str)]) if isinstance(value, dict) else kind(value)
        raise Refused(f"holds no g_ema, the averaged generator of rosinality's layout (it has {found or 'nothing'})")
    average = value.get("latent_avg")
    tensors = _generator(value["g_ema"], average, budget)
    has_noise_maps = any(name.endswith("noise_const") for name in tensors)
    spec = fit.spec_of(fit.shapes_of(tensors), **_TRAITS, noise_maps="shared" if has_noise_maps else "own")
    if isinstance(value.get("args"), Settings):
        fit.check_stated(value["args"].values, {"n_mlp": spec.mapping_layers, "latent": spec.z_dim, "size": spec.resolution})
    notes = [] if has_noise_maps else ["no noise maps are stored: each image has its own"]
    arrays = _filled(tensors, spec, budget)
    if average is None:
        arrays["mapping.w_avg"] = mean_latent(arrays, spec)
        notes.append(f"no mean latent is stored: it is the mean of {_NUM_MEAN} latents")
    networks = {"G_average": arrays}
    if not only_generator and isinstance(value.get("g"), dict) and isinstance(value.get("d"), dict):
        trained = _filled(_generator(value["g"], average, budget), spec, budget)
        trained.setdefault("mapping.w_avg", arrays["mapping.w_avg"])
        D = _discriminator(value["d"], budget)
        fit.check_discriminator(fit.shapes_of(D), spec)
        networks |= {"G": trained, "D": fit.arrays_of(D, budget)}
    return fit.Weights(spec, networks, {"layout": LAYOUT, "notes": notes})


def mean_latent(arrays: dict[str, np.ndarray], spec: NetworkSpec) -> np.ndarray:
    """The mean of w `[w_dim]` over latents of a fixed seed (our mapping network, in numpy).

    Raises:
        Refused: it is not finite.
    """
    x: np.ndarray = stream(0, "generator.mean-latent").standard_normal((_NUM_MEAN, spec.z_dim), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        x /= np.sqrt(np.square(x).mean(axis=1, keepdims=True) + 1e-8)
        for i in range(spec.mapping_layers):
            weight, bias = arrays[f"mapping.fc{i}.weight"], arrays[f"mapping.fc{i}.bias"]
            x = x @ (weight.T * np.float32(spec.mapping_lr / np.sqrt(weight.shape[1]))) + bias * np.float32(spec.mapping_lr)
            x = np.where(x < 0, x * np.float32(0.2), x) * np.float32(np.sqrt(2))
        mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    fit.check_values("the mean latent", mean)
    return mean  # type: ignore[no-any-return]


def _filled(tensors: dict[str, Tensor], spec: NetworkSpec, budget: Budget) -> dict[str, np.ndarray]:
    """The arrays of a generator; the mean latent may be missing."""
    shapes = fit.shapes_of(tensors)
    fit.check_generator({"mapping.w_avg": (spec.w_dim,), **shapes}, spec)
    return fit.arrays_of(tensors, budget)


def _generator(state: dict[Any, Any], average: Any, budget: Budget) -> dict[str, Tensor]:
    """A generator's tensors under our names."""
    given = fit.without_filters(_tensors(state), budget, ends=".kernel", gains=(4.0,))
    renamed: dict[str, Tensor] = {}
    for name, tensor in given.items():
        ours, lost = _generator_name(name)
        renamed[ours] = _without(tensor, lost, name)
    if average is not None:
        if not isinstance(average, Tensor):
            raise Refused(f"has {kind(average)} as its mean latent")
        lead = len(average.shape) - 1
        renamed["mapping.w_avg"] = _without(average, tuple(range(lead)), "latent_avg")
    if len(renamed) != len(given) + (average is not None):
        raise Refused("has two weights for one place")
    return renamed


def _generator_name(name: str) -> tuple[str, tuple[int, ...]]:
    """Our name of a weight, and which of its dimensions, all of extent 1, ours lacks."""
    if match := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", ()
    if name == "input.input":
        return "synthesis.b4.const", (0,)
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        number = int(match[1])  # one for each convolution, the finest last
        return f"synthesis.{_layer(number)}.noise_const", (0, 1)
    match = re.fullmatch(r"(conv1|to_rgb1|(convs|to_rgbs)\.(\d{1,2}))\.(.+)", name)
    rest, lost = _PARTS.get((match[4], "rgb" in match[1]), (None, ())) if match else (None, ())
    if match is None or rest is None:
        raise Refused(f"has a weight {shown(name)}, which rosinality's StyleGAN2 has not")
    number = int(match[3]) + 1 if match[3] else 0
    place = f"b{4 << number}.torgb" if "rgb" in match[1] else _layer(number)
    return f"synthesis.{place}.{rest}", lost


_PARTS: dict[tuple[str, bool], tuple[str, tuple[int, ...]]] = {
    **{(f"conv.modulation.{end}", is_rgb): (f"affine.{end}", ()) for end in ("weight", "bias") for is_rgb in (False, True)},
    ("conv.weight", False): ("weight", (0,)),
    ("conv.weight", True): ("weight", (0,)),
    ("noise.weight", False): ("noise_strength", (0,)),
    ("activate.bias", False): ("bias", ()),
    ("bias", True): ("bias", (0, 2, 3)),
}
"""(Rest of a name, whether of a toRGB) to the rest of ours, and the dimensions to drop."""


def _layer(number: int) -> str:
    """Convolution `number`: 0 is that of 4 px, then two for each resolution."""
    return f"b{4 << (number + 1) // 2}.conv{1 - number % 2}"


def _discriminator(state: dict[Any, Any], budget: Budget) -> dict[str, Tensor]:
    """A discriminator's tensors under our names."""
    given = fit.without_filters(_tensors(state), budget, ends=".kernel", gains=(1.0,))
    blocks = {int(match[1]) for name in given if (match := re.match(r"convs\.(\d{1,2})\.", name))}
    finest = 4 << max(blocks, default=0)
    renamed = {_discriminator_name(name, finest): tensor for name, tensor in given.items()}
    if len(renamed) != len(given):
        raise Refused("has two weights for one place")
    return renamed


def _discriminator_name(name: str, finest: int) -> str:
    if name in _ENDS:
        return _ENDS[name]
    if match := re.fullmatch(r"convs\.0\.(0\.weight|1\.bias)", name):
        return f"b{finest}.fromrgb.{match[1][2:]}"
    match = re.fullmatch(r"convs\.(\d{1,2})\.(conv1\.0\.weight|conv1\.1\.bias|conv2\.1\.weight|conv2\.2\.bias|skip\.1\.weight)", name)
    if match is None:
        raise Refused(f"has a weight {shown(name)}, which rosinality's StyleGAN2 has not")
    layer, _, end = match[2].split(".")
    ours = {"conv1": "conv0", "conv2": "conv1"}.get(layer, layer)
    return f"b{finest >> (int(match[1]) - 1)}.{ours}.{end}"


_ENDS = {
    "final_conv.0.weight": "b4.conv.weight",
    "final_conv.1.bias": "b4.conv.bias",
    "final_linear.0.weight": "b4.fc.weight",
    "final_linear.0.bias": "b4.fc.bias",
    "final_linear.1.weight": "b4.out.weight",
    "final_linear.1.bias": "b4.out.bias",
}


def _tensors(state: dict[Any, Any]) -> dict[str, Tensor]:
    for name, item in state.items():
        if type(name) is not str or not isinstance(item, Tensor):
            raise Refused(f"holds {kind(item)} where a weight belongs")
    return dict(state)


def _without(tensor: Tensor, dimensions: tuple[int, ...], name: str) -> Tensor:
    """The same tensor without some dimensions of extent 1."""
    if any(i >= len(tensor.shape) or tensor.shape[i] != 1 for i in dimensions):
        raise Refused(f"has {shown(name)} in the shape {list(tensor.shape)}")
    kept = [i for i in range(len(tensor.shape)) if i not in dimensions]
    return replace(tensor, shape=tuple(tensor.shape[i] for i in kept), strides=tuple(tensor.strides[i] for i in kept))
