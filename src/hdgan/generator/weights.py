"""A trained generator as a file, and as what the rest of the method sees of it.

`generator.safetensors` holds the averaged weights; its metadata the network spec, the scale of the images and what it
was trained on. Images are always drawn in float32. Format: docs/formats/generator.md.
"""

from __future__ import annotations

import copy
import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdgan.errors import BadConfig, DamagedArtifact
from hdgan.generator.capture import captured, capturing
from hdgan.generator.conditions import Conditions, one_hot
from hdgan.generator.networks import SMALL_PX, Generator, Noise, drawing_format, for_drawing
from hdgan.generator.noise import own_maps, seeds_of
from hdgan.generator.ops import bands
from hdgan.generator.protocol import Unfinished
from hdgan.generator.spec import NetworkSpec, TapSpec
from hdgan.randomness import stream
from hdgan.training import checkpoint, seeds
from hdgan.training.devices import whole_float32

FILE = "generator.safetensors"
KIND = "stylegan2-ada"

_CENTRE_LATENTS = 2048


class TrainedGenerator:
    """Implements `LatentGenerator` with our networks: float32, no gradients, noise that the latent decides.

    Where the network's noise maps are each image's own, the last number of a latent w is the seed of its maps.
    """

    def __init__(self, network: Generator, *, mpp: float | None, facts: dict[str, Any] | None = None, is_final: bool = False) -> None:
        """Takes the network as it is; `is_final` promises that nobody trains it on, and draws small images faster.

        Raises:
            BadConfig: it draws other images than RGB, which nothing after it could use.
        """
        if network.spec.image_channels != 3:
            raise BadConfig("generator", f"draws images of {network.spec.image_channels} channels", "samples and features are RGB")
        self.network = network.float().eval().requires_grad_(False)
        self.spec = network.spec
        self.resolution = self.spec.resolution
        self.z_dim = self.spec.z_dim
        self.has_own_noise = self.spec.noise_maps == "own"
        self.w_dim = self.spec.w_dim + self.has_own_noise
        self.mpp = mpp
        self.facts = facts or {}
        """What the file says of the training."""
        self.content_hash = _content_hash(network)
        self.network.to(memory_format=drawing_format(self.resolution))  # type: ignore[call-overload]
        if is_final and self.resolution <= SMALL_PX:
            self.network.hold()
        self.conditions = self._conditions()
        """Labels that it can be asked for."""
        self._asked_for: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.mapping.w_avg.device

    def asked_for(self, condition: str | None) -> TrainedGenerator:
        """The same generator, whose latents all have the label `condition`; None: in the shares of the training tiles.

        Raises:
            BadConfig: it knows no such label.
        """
        if condition is None:
            return self
        if self.conditions is None:
            raise BadConfig("condition", f"{condition!r} was asked for", "this generator was trained without generator.condition")
        other = copy.copy(self)
        other._asked_for = self.conditions.number(condition)
        return other

    def condition_of(self, z: Tensor) -> str | None:
        """The label with which `map` maps the single latent z `[1, z_dim]`; None: it has none."""
        return None if self.conditions is None else self.conditions.names[self._numbers(z)[0]]

    def map(self, z: Tensor, *, psi: float) -> Tensor:
        """Latents w `[N, w_dim]`, truncated; each z has the label that was asked for, or its own.

        Where labels are named, truncation draws towards the mean of the latent's own label: towards that of all, stains would mix.
        """
        with torch.no_grad(), whole_float32():
            numbers = None if self.conditions is None else self._numbers(z)
            label = None if numbers is None else one_hot(numbers, self.spec.label_dim).to(self.device)
            w = self.network.mapping(z.to(self.device), label)
            if numbers is None or psi == 1.0 or "conditions" not in self.facts:
                w = self.network.mapping.truncate(w, psi)
            else:
                w = self.label_centres[numbers].to(w).lerp(w, psi)
            return torch.cat((w, seeds_of(z).to(w)), dim=1) if self.has_own_noise else w

    @cached_property
    def label_centres(self) -> Tensor:
        """Mean latent of each label, `[L, D]`, over fixed z; rounded to half precision, so that threads and devices agree."""
        mapping = copy.deepcopy(self.network.mapping).cpu()
        z = torch.from_numpy(stream(0, "generator.label_centres").standard_normal((_CENTRE_LATENTS, self.z_dim), dtype=np.float32))
        with torch.no_grad():
            rows = [mapping(z, label.expand(len(z), -1)) for label in torch.eye(self.spec.label_dim)]
        return torch.stack([w.double().mean(dim=0) for w in rows]).half().float()

    def render(self, w: Tensor) -> Tensor:
        """Images `[N, 3, R, R]`."""
        with torch.no_grad(), whole_float32():
            ws, noise = self._inputs(w)
            return self.network.synthesis(ws, noise=noise)  # type: ignore[no-any-return]

    def _conditions(self) -> Conditions | None:
        if not self.spec.label_dim:
            return None
        stored = self.facts.get("conditions")
        return Conditions.from_json(stored) if stored else Conditions.unnamed(self.spec.label_dim)

    def _numbers(self, z: Tensor) -> list[int]:
        assert self.conditions is not None, "only asked where there are labels"
        return self.conditions.of_latents(z) if self._asked_for is None else [self._asked_for] * len(z)

    def taps(self, num_blocks: int) -> tuple[TapSpec, ...]:
        """Every 3x3 convolution of the last `num_blocks` blocks, coarse to fine.

        Raises:
            BadConfig: there are fewer blocks.
        """
        return self.spec.taps(num_blocks)

    def render_taps(self, w: Tensor, *, num_blocks: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Images and the tapped maps, each layer's output after noise, bias and activation."""
        names = [tap.name for tap in self.taps(num_blocks)]
        with torch.no_grad(), whole_float32():
            ws, noise = self._inputs(w)
            image, maps = captured(self.network.synthesis, ws, noise=noise, names=names)
            return image.contiguous(), tuple(m.contiguous() for m in maps)

    def begin(self, w: Tensor, *, num_blocks: int) -> Unfinished | None:
        """As `render_taps`, the last layer to be drawn by rows, to the same bits; None for small images, and on a GPU.

        Raises:
            BadConfig: there are fewer blocks.
        """
        *taps, last = self.taps(num_blocks)
        if self.device.type != "cpu" or not bands.are_large(len(w) * last.channels * last.resolution**2):
            return None
        with torch.no_grad():
            ws, noise = self._inputs(w)
            with capturing(self.network.synthesis, [tap.name for tap in taps]) as maps:
                draw = self.network.synthesis.but_last(ws, noise=noise)
        return Unfinished(tuple(maps[tap.name].contiguous() for tap in taps), torch.no_grad()(draw))

    def _inputs(self, w: Tensor) -> tuple[Tensor, Noise]:
        """What the synthesis takes: w for every layer, and the noise."""
        w = w.to(self.device)
        noise: Noise = own_maps(self.network.synthesis, w[:, -1:]) if self.has_own_noise else "const"
        return self.network.spread(w[:, : self.spec.w_dim]), noise


def save_generator(path: Path, network: Generator, *, mpp: float | None, trained: dict[str, Any], is_half: bool = False) -> None:
    """Writes the weights; with `is_half` rounded to float16, and images are then to be drawn from the rounded ones."""
    tensors = {name: value.half() if is_half else value.float() for name, value in network.state_dict().items()}
    facts = {"kind": KIND, "spec": network.spec.to_json(), "mpp": mpp, "trained": trained}
    checkpoint.write_tensors(path, tensors, facts)


def load_generator(path: Path, *, device: str = "cpu") -> TrainedGenerator:
    """The generator stored at `path`.

    Raises:
        DamagedArtifact: the file is missing, altered, of another kind, lacks a weight or holds one that is not finite.
    """
    facts, tensors = _read(path)
    network = for_drawing(NetworkSpec.from_json(facts["spec"]))
    try:
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        raise DamagedArtifact(path, f"weights do not fit their own spec ({error})", "train the generator again") from error
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise DamagedArtifact(path, "holds weights that are not finite", "resume the training from an earlier state")
    return TrainedGenerator(network.to(device), mpp=facts["mpp"], facts=facts["trained"], is_final=True)


def read_shape(path: Path) -> tuple[NetworkSpec, float | None]:
    """The shape of the generator stored at `path` and the scale of its images in um/px, its weights left alone.

    Raises:
        DamagedArtifact: the file is missing, or no generator of ours.
    """
    try:
        facts = checkpoint.read_facts(path)
        return NetworkSpec.from_json(facts["spec"]), facts["mpp"]
    except (ValueError, KeyError, BadConfig) as error:
        raise DamagedArtifact(path, f"is no generator of ours ({error})", "train the generator again, or copy the file again") from error


def untrained_like(path: Path, *, seed: int) -> TrainedGenerator:
    """A generator of the same shape with initial weights: the control that shows what training taught."""
    facts, _ = _read(path)
    seeds.reseed(seed, "generator.untrained")
    labels = {name: value for name, value in facts["trained"].items() if name == "conditions"}
    return TrainedGenerator(for_drawing(NetworkSpec.from_json(facts["spec"])), mpp=facts["mpp"], facts=labels, is_final=True)


def load_snapshot(path: Path, *, like: Path, device: str = "cpu") -> TrainedGenerator:
    """The averaged generator in the training state at `path`, as far as its training had come; spec, scale and labels are those of the weights `like`.

    Raises:
        DamagedArtifact: a file is missing, altered, or not of the same network.
    """
    facts, _ = _read(like)
    try:
        tensors, counters = checkpoint.read_tensors(path)
        network = for_drawing(NetworkSpec.from_json(facts["spec"]))
        start = "G_average."
        network.load_state_dict({name[len(start) :]: value.float() for name, value in tensors.items() if name.startswith(start)})
        trained = {name: value for name, value in facts["trained"].items() if name == "conditions"} | {"images": counters["num_images"]}
    except (ValueError, RuntimeError, KeyError) as error:
        raise DamagedArtifact(path, f"is no state of the training of {like.name} ({error})", "leave it out, or copy it again") from error
    return TrainedGenerator(network.to(device), mpp=facts["mpp"], facts=trained, is_final=True)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        tensors, facts = checkpoint.read_tensors(path)
    except ValueError as error:
        raise DamagedArtifact(path, str(error), "train the generator again, or copy the file again") from error
    if facts.get("kind") != KIND:
        raise DamagedArtifact(path, f"is no generator of ours (kind {facts.get('kind')!r})")
    return facts, tensors


def _content_hash(network: Generator) -> str:
    weights = checkpoint.digest(network.state_dict())
    return hashlib.sha256(f"{json.dumps(network.spec.to_json(), sort_keys=True)}\0{weights}".encode()).hexdigest()
