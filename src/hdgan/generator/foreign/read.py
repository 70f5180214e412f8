"""Weights from the bytes of a foreign file: its kind is told by its content, never by its name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hdgan.generator.foreign import fit, rosinality, traits
from hdgan.generator.foreign.limits import Budget, Refused
from hdgan.generator.foreign.official import Network, read_networks
from hdgan.generator.foreign.streams import OLD_START, ZIP_START, read_old, read_zip
from hdgan.generator.spec import NetworkSpec

OFFICIAL = "stylegan2-ada-pytorch"
_LABEL_MAPPING_LR = 0.01
"""What our discriminator's mapping network has."""
_OTHER_KINDS = (
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"7z\xbc\xaf", "is a 7z archive; unpack it first"),
    (b"BZh", "is compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "is compressed with xz; unpack it first"),
    (b"\x89HDF", "is an HDF5 file"),
    (b"version https://git-lfs", "is a pointer of git-lfs, not the file itself; fetch it with git lfs pull"),
    (b"<", "is a web page, not the file itself; download it again"),
    (b"PK", "is an empty or damaged zip archive"),
)


def read_weights(data: bytes | memoryview, *, only_generator: bool = False) -> fit.Weights:
    """The networks in `data`, of either published layout; with `only_generator` just the averaged one.

    Raises:
        Refused: the content is of another kind, damaged, incomplete, or a network that ours cannot be.
    """
    content = memoryview(data).toreadonly()
    budget = Budget(len(content))
    head = bytes(content[:512])
    if head.startswith(ZIP_START):
        return rosinality.weights_of(read_zip(content, budget), budget, only_generator=only_generator)
    if head.startswith(OLD_START):
        return rosinality.weights_of(read_old(content, budget), budget, only_generator=only_generator)
    if head[257:262] == b"ustar":
        raise Refused("is a tar archive; unpack it first")
    for start, words in _OTHER_KINDS:
        if head.startswith(start):
            raise Refused(words)
    if head[8:9] == b"{":
        raise Refused("is a safetensors file; only published checkpoints (.pkl, .pt) are imported")
    return _official(read_networks(content, budget), budget, only_generator=only_generator)


def _official(networks: dict[str, Network], budget: Budget, *, only_generator: bool) -> fit.Weights:
    average = networks["G_ema"]
    spec = _generator_spec(average, budget)
    arrays = {"G_average": _arrays(average, spec, budget)}
    notes: list[str] = []
    if not only_generator and {"G", "D"} <= networks.keys():
        spec = replace(spec, **traits.discriminator_traits(networks["D"]))
        trained = _generator_spec(networks["G"], budget)
        if replace(trained, minibatch_std_group=spec.minibatch_std_group, discriminator=spec.discriminator) != spec:
            raise Refused("has networks G and G_ema of different shapes")
        arrays["G"] = _arrays(networks["G"], spec, budget)
        arrays["D"] = _discriminator(networks["D"], spec, budget, notes)
    return fit.Weights(spec, arrays, {"layout": OFFICIAL, "notes": notes})


def _generator_spec(network: Network, budget: Budget) -> NetworkSpec:
    found = traits.generator_traits(network)
    network.tensors = fit.without_filters(network.tensors, budget, ends="resample_filter", gains=(1.0,))
    spec = fit.spec_of(fit.shapes_of(network.tensors), **found)
    traits.check_sizes(network, spec)
    return spec


def _arrays(network: Network, spec: NetworkSpec, budget: Budget) -> dict[str, np.ndarray]:
    fit.check_generator(fit.shapes_of(network.tensors), spec)
    return fit.arrays_of(network.tensors, budget)


def _discriminator(network: Network, spec: NetworkSpec, budget: Budget, notes: list[str]) -> dict[str, np.ndarray]:
    """A discriminator's arrays; where its label mapping learned at another rate, its weights are rescaled to do the same at ours."""
    network.tensors = fit.without_filters(network.tensors, budget, ends="resample_filter", gains=(1.0,))
    fit.check_discriminator(fit.shapes_of(network.tensors), spec)
    arrays = fit.arrays_of(network.tensors, budget)
    lr = traits.mapping_lr(network)
    if spec.label_dim and lr != _LABEL_MAPPING_LR:
        for name in arrays:
            if name.startswith("mapping.fc"):
                arrays[name] = arrays[name] * np.float32(lr / _LABEL_MAPPING_LR)
        notes.append(f"the discriminator's label mapping was scaled from a learning-rate multiplier of {lr:g} to {_LABEL_MAPPING_LR:g}")
    return arrays
