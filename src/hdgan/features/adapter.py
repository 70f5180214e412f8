"""Any network that draws images as a `LatentGenerator`: its layers are named by dotted paths and captured by hooks, its code is left alone.

What must be told of a foreign network is a `Decoder`, three methods; which of its layers are tapped is data, `Layer`s. Channels and
resolutions are found by drawing one image. Letters: N images, C channels, S edge of a map, R of the image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from hdgan.errors import BadConfig
from hdgan.generator.spec import TapSpec
from hdgan.training import checkpoint


class Decoder(Protocol):
    """A network that turns latents into images, as the adapter needs it."""

    z_dim: int
    """Length of the normal vector that an image begins with."""

    def module(self) -> nn.Module:
        """The network, in which the paths of the layers begin."""

    def map(self, z: Tensor, *, psi: float) -> Tensor:
        """Latents w `[N, w_dim]` of z `[N, z_dim]`; without truncation of its own: z itself."""

    def draw(self, w: Tensor) -> Tensor:
        """Images `[N, 3, R, R]`, about -1 to 1, of w alone: equal latents give equal images, so noise is fixed or a part of w."""


@dataclass(frozen=True)
class Layer:
    """A tapped layer: its output `[N, C, S, S]`, or the first of several outputs; of a layer that runs more than once, the last time.

    `path` is dotted, as of `nn.Module.get_submodule`. `margin` cells are cut off on each side, where a network draws more than the
    image shows: what is left must lie on the image, cell for cell.
    """

    path: str
    margin: int = 0


class Adapted:
    """Implements `LatentGenerator` for a `Decoder`: inference only, float32.

    Layers of one resolution are a block; `num_blocks` counts from the finest.
    """

    def __init__(self, decoder: Decoder, layers: Sequence[Layer], *, mpp: float | None) -> None:
        """Draws one image to see what the layers give.

        Raises:
            BadConfig: a layer is not there, does not run, or gives no square map; or the image is no square of three channels.
        """
        self._decoder, self._layers = decoder, tuple(layers)
        decoder.module().float().eval().requires_grad_(False)
        self.z_dim = decoder.z_dim
        self.mpp = mpp
        w = self.map(torch.zeros(1, self.z_dim), psi=1.0)
        self.w_dim = w.shape[1]
        image, maps = self._run(w, self._layers)
        if image.shape[1] != 3 or image.shape[2] != image.shape[3]:
            raise BadConfig("foreign generator", f"its image has shape {tuple(image.shape)}", "[N, 3, R, R] is needed")
        self.resolution = image.shape[-1]
        shapes = {layer: TapSpec(layer.path, m.shape[1], m.shape[2]) for layer, m in zip(self._layers, maps, strict=True)}
        self._shapes = dict(sorted(shapes.items(), key=lambda pair: pair[1].resolution))
        self.content_hash = self._content_hash()

    def map(self, z: Tensor, *, psi: float) -> Tensor:
        """Latents, as of the decoder."""
        with torch.no_grad():
            return self._decoder.map(z, psi=psi)

    def render(self, w: Tensor) -> Tensor:
        """Images `[N, 3, R, R]`."""
        return self._run(w, ())[0]

    def taps(self, num_blocks: int) -> tuple[TapSpec, ...]:
        """The tapped layers of the `num_blocks` finest resolutions, coarse to fine, those of one in the order in which they were named.

        Raises:
            BadConfig: the layers have fewer resolutions.
        """
        return tuple(self._shapes[layer] for layer in self._chosen(num_blocks))

    def render_taps(self, w: Tensor, *, num_blocks: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Images as by `render` and the maps `[N, C, S, S]` in the order of `taps`."""
        return self._run(w, self._chosen(num_blocks))

    def _chosen(self, num_blocks: int) -> tuple[Layer, ...]:
        edges = sorted({tap.resolution for tap in self._shapes.values()})
        if not 1 <= num_blocks <= len(edges):
            raise BadConfig("features.num_blocks", f"{num_blocks}", f"the tapped layers have {len(edges)} resolutions")
        return tuple(layer for layer, tap in self._shapes.items() if tap.resolution in edges[-num_blocks:])

    def _run(self, w: Tensor, layers: Sequence[Layer]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Images, and what `layers` gave on the way."""
        found: dict[Layer, _Kept] = {}
        handles = [_submodule(self._decoder.module(), layer).register_forward_hook(_keeping(found, layer)) for layer in layers]
        try:
            with torch.no_grad():
                image = self._decoder.draw(w).float()
        finally:
            for handle in handles:
                handle.remove()
        for layer in layers:
            if layer not in found:
                raise BadConfig("foreign generator", f"layer {layer.path} does not run when an image is drawn", "name another layer")
            if found[layer].output._version != found[layer].version:
                what = f"what layer {layer.path} gives is written over by the layer after it"
                raise BadConfig("foreign generator", what, "name that layer instead")
        return image, tuple(found[layer].map for layer in layers)

    def _content_hash(self) -> str:
        weights = checkpoint.digest(dict(self._decoder.module().state_dict()))
        return hashlib.sha256(f"adapted\0{type(self._decoder.module()).__name__}\0{weights}".encode()).hexdigest()


class _Kept(NamedTuple):
    """A layer's whole output, how often it had been written to by then, and the map in it."""

    output: Tensor
    version: int
    map: Tensor


def _submodule(module: nn.Module, layer: Layer) -> nn.Module:
    try:
        return module.get_submodule(layer.path)
    except AttributeError as error:
        names = ", ".join(name for name, _ in list(module.named_children())[:6])
        raise BadConfig("foreign generator", f"there is no layer {layer.path!r}", f"paths begin with one of {names}") from error


def _keeping(found: dict[Layer, _Kept], layer: Layer) -> Callable[[nn.Module, Any, Any], None]:
    """A hook that keeps the layer's map."""

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        m = output[0] if isinstance(output, tuple | list) else output
        cut = layer.margin
        if not isinstance(m, Tensor) or m.ndim != 4 or m.shape[2] != m.shape[3] or m.shape[2] <= 2 * cut:
            what = f"a tensor of shape {tuple(m.shape)}" if isinstance(m, Tensor) else f"a {type(m).__name__}"
            raise BadConfig("foreign generator", f"layer {layer.path} gives {what}", "a square map [N, C, S, S] is needed")
        found[layer] = _Kept(m, m._version, (m[:, :, cut:-cut, cut:-cut] if cut else m).float())

    return keep
