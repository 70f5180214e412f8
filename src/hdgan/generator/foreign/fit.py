"""Fits named weights to a `NetworkSpec`: shapes say what the network is, then every weight must be there, fit, and be finite."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdgan.errors import BadConfig
from hdgan.generator.foreign.inert import Tensor, kind
from hdgan.generator.foreign.limits import Budget, Refused, shown
from hdgan.generator.foreign.shapes import Shapes, discriminator_shapes, generator_shapes
from hdgan.generator.spec import NetworkSpec

_MOST_LISTED = 4
_BLOCK = re.compile(r"synthesis\.b(\d{1,4})\.")
_LAYER = re.compile(r"mapping\.fc(\d{1,3})\.weight")
_BINOMIAL = np.array([1.0, 3.0, 3.0, 1.0], dtype=np.float32) / 8


@dataclass(frozen=True)
class Weights:
    """What was read: our spec, our weights, and where they come from."""

    spec: NetworkSpec
    networks: dict[str, dict[str, np.ndarray]]
    """`G_average`, the generator that draws; `G` and `D` where the file has both. Float32 arrays by our names."""
    facts: dict[str, Any]
    """`layout` and `notes`."""


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """Name to shape."""
    return {name: tensor.shape for name, tensor in tensors.items()}


def spec_of(shapes: Shapes, **traits: Any) -> NetworkSpec:
    """The spec of a generator whose weights have these shapes; `traits` are the fields that shapes do not tell.

    Raises:
        Refused: no network of ours has such shapes.
    """
    found = sorted({int(match[1]) for name in shapes if (match := _BLOCK.match(name))})
    resolution = found[-1] if found else 0
    if not found or found != [2**i for i in range(2, 2 + len(found))]:
        raise Refused(f"has blocks of {shown(', '.join(map(str, found)) or 'no size')} px instead of 4, 8, 16 and so on")
    widths = {r: _shape(shapes, f"synthesis.b{r}.conv1.weight", 4)[0] for r in found}
    base, most = channel_rule(widths)
    w_dim = _shape(shapes, "synthesis.b4.conv1.affine.weight", 2)[1]
    label_dim = _shape(shapes, "mapping.embed.weight", 2)[1] if "mapping.embed.weight" in shapes else 0
    z_dim = _shape(shapes, "mapping.fc0.weight", 2)[1] - (w_dim if label_dim else 0)
    if z_dim < 1:
        raise Refused("has a mapping network that takes labels and no latents")
    with_noise = [r for r in found if f"synthesis.b{r}.conv1.noise_strength" in shapes]
    try:
        return NetworkSpec(
            resolution=resolution,
            image_channels=_shape(shapes, f"synthesis.b{resolution}.torgb.weight", 4)[0],
            z_dim=z_dim,
            w_dim=w_dim,
            label_dim=label_dim,
            mapping_layers=sum(1 for name in shapes if _LAYER.fullmatch(name)),
            channel_base=base,
            channel_max=most,
            noise_from_px=with_noise[0] if with_noise else 2 * resolution,
            **traits,
        )
    except BadConfig as error:
        raise Refused(f"is a network that cannot be built here ({error})") from None


def channel_rule(widths: Mapping[int, int]) -> tuple[int, int]:
    """(base, most) for which the block of r px has min(base // r, most) channels; `widths` is r to channels.

    Raises:
        Refused: there are none.
    """
    most = max(widths.values())
    base = max(r * channels for r, channels in widths.items())  # the least that gives each block enough
    if any(min(base // r, most) != channels for r, channels in widths.items()):
        listed = ", ".join(f"{channels} at {r} px" for r, channels in widths.items())
        raise Refused(f"has {listed}; channels must follow min(base // resolution, most)")
    return base, most


def check_generator(found: Shapes, spec: NetworkSpec) -> None:
    """Passes when `found` is exactly what `Generator(spec)` has.

    Raises:
        Refused: weights are missing, too many, or of another shape; names them.
    """
    _compare(found, generator_shapes(spec), "generator")


def check_discriminator(found: Shapes, spec: NetworkSpec) -> None:
    """Passes when `found` is exactly what `Discriminator(spec)` has.

    Raises:
        Refused: weights are missing, too many, or of another shape; names them.
    """
    _compare(found, discriminator_shapes(spec), "discriminator")


def check_stated(stated: Mapping[Any, Any], ours: Mapping[str, int]) -> None:
    """Passes when those of the sizes `ours` (of the weights) that a file states are what it states.

    Raises:
        Refused: one is not.
    """
    for name, size in ours.items():
        value = stated.get(name, size)
        if type(value) is not int or value != size:
            words = str(value) if type(value) is int and abs(value) < 10**9 else kind(value)
            raise Refused(f"states {name} {words}, and its weights are of one with {size}")


def arrays_of(tensors: Mapping[str, Tensor], budget: Budget) -> dict[str, np.ndarray]:
    """The values, float32, all finite.

    Raises:
        Refused: a value is not finite, or a weight is nothing but zeros.
    """
    arrays = {}
    for name, tensor in tensors.items():
        arrays[name] = tensor.array(budget)
        check_values(name, arrays[name])
    return arrays


def check_values(name: str, array: np.ndarray) -> None:
    """Passes when every value is finite and, of a layer's weight, one at least is not zero.

    Raises:
        Refused: with the name.
    """
    if not np.isfinite(array).all():
        raise Refused(f"has values in {shown(name)} that are not finite")
    if name.endswith(".weight") and not array.any():
        raise Refused(f"has nothing but zeros in {shown(name)}")


def without_filters(tensors: Mapping[str, Tensor], budget: Budget, *, ends: str, gains: Iterable[float]) -> dict[str, Tensor]:
    """`tensors` without the resampling filters, whose names end in `ends`, after a look at their values.

    Raises:
        Refused: one is not the binomial filter [1, 3, 3, 1] that our networks have, times one of `gains`.
    """
    allowed = [np.outer(_BINOMIAL, _BINOMIAL) * np.float32(gain) for gain in gains]
    kept = {}
    for name, tensor in tensors.items():
        if not name.endswith(ends):
            kept[name] = tensor
        elif tensor.shape != (4, 4) or not any(np.allclose(tensor.array(budget), taps, rtol=0, atol=1e-6) for taps in allowed):
            raise Refused(f"resamples with another filter than [1, 3, 3, 1] ({shown(name)})")
    return kept


def listed(names: Collection[str]) -> str:
    """The first few of `names`, and how many more there are."""
    first = ", ".join(shown(name) for name in sorted(names)[:_MOST_LISTED])
    return first + (f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else "")


def _compare(found: Shapes, expected: Shapes, what: str) -> None:
    wrong = [f"{name} {list(found[name])} instead of {list(shape)}" for name, shape in expected.items() if found.get(name, shape) != shape]
    parts = [
        f"{word} {listed(names)}"
        for word, names in (("lacks", expected.keys() - found.keys()), ("has unknown", found.keys() - expected.keys()), ("has", wrong))
        if names
    ]
    if parts:
        raise Refused(f"is no {what} of ours: it {'; it '.join(parts)}")


def _shape(shapes: Shapes, name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a weight that must be there.

    Raises:
        Refused: it is not, or has another number of dimensions, or is empty.
    """
    shape = shapes.get(name)
    if shape is None:
        raise Refused(f"lacks the weight {name}")
    if len(shape) != dimensions or 0 in shape:
        raise Refused(f"has {name} in the shape {list(shape)}")
    return shape
