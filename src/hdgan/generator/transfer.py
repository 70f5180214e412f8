"""Beginning with the weights of another training, of the same resolution or of a lower one.

The source is a `generator.safetensors` (the averaged generator alone) or a resumable state (both networks and the average).
Optimisers, path-length mean and chance of augmentation begin anew, as in the published code. Which weights were taken is
said plainly: `transfer.json`, format in docs/formats/generator.md.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hdgan.errors import BadConfig, BadInput, DamagedArtifact
from hdgan.generator import growth
from hdgan.generator.conditions import Conditions
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import TrainingState
from hdgan.generator.weights import FILE, KIND
from hdgan.store.atomic import write_json
from hdgan.store.hashing import hash_file
from hdgan.training import checkpoint

REPORT = "transfer.json"
_STATES = "state-*.safetensors"
_SHARED = ("image_channels", "z_dim", "w_dim", "mapping_layers", "start", "discriminator")
"""Fields of the spec in which source and target must agree: else nothing that was learnt would survive."""


@dataclass(frozen=True)
class Source:
    """Weights of another training."""

    kind: str
    """`weights` or `state`."""
    content: str
    """sha256 of the file."""
    spec: NetworkSpec
    G: dict[str, Tensor]
    G_average: dict[str, Tensor]
    D: dict[str, Tensor]
    """Empty in a file of weights."""
    mpp: float | None
    """Scale of its images, um/px, where the file says it."""
    conditions: Conditions | None = None
    """What its labels mean, where the file says it."""


@dataclass(frozen=True)
class Transfer:
    """What became of each weight: name to copied, widened, fitted, zeroed or fresh."""

    source: Source
    G: dict[str, str]
    D: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        source = {"kind": self.source.kind, "content": self.source.content, "spec": self.source.spec.to_json(), "mpp": self.source.mpp}
        return {"schema": 1, "source": source, "G": self.G, "D": self.D, "unused": self.unused()}

    def unused(self) -> list[str]:
        """Weights of the source that have no place in the new networks."""
        fitted = f"b{self.source.spec.resolution}.fromrgb."  # in grown networks the new blocks do its work
        of_D = [name for name in self.source.D if name not in self.D and not name.startswith(fitted)]
        return sorted(f"G.{name}" for name in self.source.G if name not in self.G) + sorted(f"D.{name}" for name in of_D)

    def lines(self, *, spec: NetworkSpec, mpp: float | None) -> list[str]:
        """What a person should know, a line each; `spec` and `mpp` are those of the new training."""
        old = self.source.spec
        lines = [f"begins with a {old.resolution} px {self.source.kind} file: G {_counted(self.G)}; D {_counted(self.D)}"]
        if not self.source.D:
            lines.append("the file holds no discriminator: its first steps will shake the generator; a state of the other run is better")
        lost = sorted({name.split(".")[1] for name, became in self.G.items() if became == growth.FRESH and self._was_there(name)})
        if lost:
            lines.append(
                f"G's {', '.join(lost)} have other shapes than in the file and begin anew: images will not be the old ones at first"
            )
        if self.unused():
            lines.append(f"{len(self.unused())} of the file's weights have no place here, such as {self.unused()[0]}")
        if self.source.mpp and mpp:
            before, now = old.resolution * self.source.mpp, spec.resolution * mpp
            if abs(before / now - 1) > 0.02:
                lines.append(f"the file's images show {before:g} um, the new tiles {now:g} um: structures will change their size")
        return lines

    def _was_there(self, name: str) -> bool:
        return name in self.source.G


def find(path: Path) -> Path:
    """The file that `path` names: itself, or in a folder the newest resumable state, or the weights.

    Raises:
        BadInput: there is none.
    """
    if path.is_file():
        return path
    for folder in (path / "state", path):
        states = sorted(folder.glob(_STATES))
        if states:
            return states[-1]
    if (path / FILE).is_file():
        return path / FILE
    raise BadInput(path, "holds no weights to begin with", f"name a {FILE}, a state-*.safetensors, or a folder that holds one")


def read(path: Path) -> Source:
    """The weights in the file at `path`.

    Raises:
        DamagedArtifact: it is cut short or altered.
        BadInput: it is no file of ours, or a state of a version that did not write down its networks.
    """
    try:
        tensors, facts = checkpoint.read_tensors(path)
    except ValueError as error:
        raise DamagedArtifact(path, str(error), "name another file as generator.init_from") from error
    content = hash_file(path)
    if facts.get("kind") == KIND:
        weights = {name: value.float() for name, value in tensors.items()}
        names = _conditions(facts["trained"])
        return Source("weights", content, NetworkSpec.from_json(facts["spec"]), weights, weights, {}, facts["mpp"], names)
    if "num_images" not in facts:
        raise BadInput(path, "is neither a generator nor a state of one's training", "name another file as generator.init_from")
    if "spec" not in facts:
        remedy = "let that run save another one, or name its generator.safetensors"
        raise BadInput(path, "is a state of an earlier version, which did not write down its networks", remedy)
    G, G_average, D = (_below(prefix, tensors) for prefix in ("G.", "G_average.", "D."))
    return Source("state", content, NetworkSpec.from_json(facts["spec"]), G, G_average, D, None, _conditions(facts))


def begin_with(state: TrainingState, source: Source) -> Transfer:
    """What became of each weight; the networks of `state` now hold those of `source` wherever they fit.

    Raises:
        BadConfig: the two have too little in common, their labels mean something else, or the source draws larger images.
    """
    spec = state.G.spec
    _refuse_strangers(source.spec, spec)
    _refuse_other_labels(source, spec, state.conditions)
    became = {}
    factor = source.spec.mapping_lr / spec.mapping_lr
    for network, weights in ((state.G, source.G), (state.G_average, source.G_average)):
        became = _fill(network, weights, mapping_factor=factor)
        became |= growth.silence_new_blocks(network, above=source.spec.resolution)
    D_became = dict.fromkeys(state.D.state_dict(), growth.FRESH)
    if source.D:
        D_became = _fill(state.D, source.D, mapping_factor=1.0)
        if source.spec.resolution < spec.resolution:
            first = f"b{source.spec.resolution}.fromrgb"
            weight, bias = source.D[f"{first}.weight"], source.D[f"{first}.bias"]
            D_became |= growth.see_through_new_blocks(state.D, above=source.spec.resolution, weight=weight, bias=bias)
    return Transfer(source, became, D_became)


def write_report(folder: Path, transfer: Transfer) -> None:
    """Writes `transfer.json`."""
    write_json(folder / REPORT, transfer.to_json())


def _refuse_strangers(old: NetworkSpec, new: NetworkSpec) -> None:
    if old.resolution > new.resolution:
        raise BadConfig("generator.init_from", f"draws {old.resolution} px, more than generator.resolution, {new.resolution}")
    for name in _SHARED:
        if getattr(old, name) != getattr(new, name):
            what = f"has {name} {getattr(old, name)}, the settings {getattr(new, name)}"
            raise BadConfig("generator.init_from", what, f"set generator.{name} to the former, or name other weights")


def _refuse_other_labels(source: Source, new: NetworkSpec, conditions: Conditions | None) -> None:
    """Labels go on by their place in the vector, so the same names must stand there; where either side has none, as many must."""
    remedy = "set generator.condition as it was trained, or name other weights"
    if source.conditions and conditions and source.conditions.names != conditions.names:
        what = f"was trained with {_listed(source.conditions)}, the tiles give {_listed(conditions)}"
        raise BadConfig("generator.init_from", what, f"train on tiles of the former, {remedy}")
    if source.spec.label_dim and source.spec.label_dim != new.label_dim:
        what = f"takes {source.spec.label_dim} labels, the settings give {new.label_dim}"
        raise BadConfig("generator.init_from", what, remedy)


def _listed(conditions: Conditions) -> str:
    return f"{conditions.by} {', '.join(conditions.names)}"


def _conditions(facts: dict[str, Any]) -> Conditions | None:
    stored = facts.get("conditions")
    return Conditions.from_json(stored) if stored else None


def _fill(network: nn.Module, weights: dict[str, Tensor], *, mapping_factor: float) -> dict[str, str]:
    """Puts `weights` into `network` where they fit; what became of each of the network's."""
    became, filled = {}, {}
    for name, new in network.state_dict().items():
        old = weights.get(name)
        if old is not None and name.startswith("mapping.fc") and not math.isclose(mapping_factor, 1.0):
            old = old * mapping_factor  # stored weights are divided by the layer's learning rate
        filled[name], became[name] = growth.fitted(name, new, old)
    network.load_state_dict(filled)
    return became


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _counted(became: dict[str, str]) -> str:
    return ", ".join(f"{num} {what}" for what, num in Counter(became.values()).most_common())
