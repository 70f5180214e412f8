"""Feature maps of a synthesis, taken by hooks: the network's code knows nothing of it. Needs torch alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from hdgan.generator.networks import Noise


def captured(synthesis: nn.Module, ws: Tensor, *, noise: Noise, names: Sequence[str]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Images of `ws [N, L, D]` and the outputs of the layers called `names`, the network's code untouched."""
    with capturing(synthesis, names) as maps:
        image = synthesis(ws, noise=noise)
    return image, tuple(maps[name] for name in names)


@contextmanager
def capturing(synthesis: nn.Module, names: Sequence[str]) -> Iterator[Mapping[str, Tensor]]:
    """What each layer called one of `names` gives under `with`, by name."""
    maps: dict[str, Tensor] = {}
    handles = []
    for name in names:

        def keep(_layer: nn.Module, _inputs: Any, output: Tensor, name: str = name) -> None:
            maps[name] = output

        handles.append(synthesis.get_submodule(name).register_forward_hook(keep))
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
