"""An ensemble of pixel classifiers as a file, and what it says of an image: labels and how sure it is.

The uncertainty of a pixel is the Jensen-Shannon divergence of the members' class probabilities, the entropy of their
mean less the mean of their entropies, in nats (arXiv 2104.06490, section 3.2); of an image, the mean over its 10 % most
uncertain pixels. Format: docs/formats/classifier.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.classifier.factored import Folded, Rows, fold, logits
from hdgan.classifier.mlp import PixelMlp
from hdgan.errors import BadInput, DamagedArtifact
from hdgan.features.colour import tapping_only
from hdgan.features.moments import Standardiser
from hdgan.generator.protocol import InRows, LatentGenerator, TapSpec, Unfinished, to_uint8
from hdgan.labels import ClassMap
from hdgan.measures.calibration import image_score
from hdgan.training import checkpoint

FILE = "ensemble.safetensors"
KIND = "pixel-ensemble"


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says of an image."""

    mask: np.ndarray
    """Class of the highest mean probability, uint8 `[H, W]`; with mask offsets, of the highest sum of its log and the class's offset."""
    uncertainty: np.ndarray
    """Float32 `[H, W]`, nats, 0 to log(classes): what the members disagree by; all 0 with one member."""
    entropy: np.ndarray
    """Float32 `[H, W]`, nats, 0 to log(classes): of the mean probabilities, so of all doubt, shared by the members or not."""
    confidence: np.ndarray
    """Float32 `[H, W]`, 0 to 1: the mean probability of the class that the mask shows."""
    chances: np.ndarray | None = None
    """What the mask shows the largest of, float32 `[K, H, W]`, where it was asked for: the members' mean probabilities, weighted by the mask offsets."""

    @property
    def score(self) -> float:
        """The image's uncertainty."""
        return image_score(self.uncertainty)


class Ensemble:
    """Members that were trained on the same features, and all that is needed to use them."""

    def __init__(
        self, members: Sequence[PixelMlp], *, standardiser: Standardiser, classes: ClassMap, taps: Sequence[TapSpec], facts: dict[str, Any]
    ) -> None:
        self.members = [member.eval().requires_grad_(False) for member in members]
        self.standardiser = standardiser
        self.classes = classes
        self.taps = tuple(taps)
        self.facts = facts
        """`num_blocks`, `generator_hash`, `resolution`, `mpp`, `annotator`, `hidden`, `dropout`, `norm`, `order`, `temperature`, `mask_offsets`."""
        self._folded = _cooled(fold(self.members, standardiser), self.temperature)

    @property
    def num_blocks(self) -> int:
        """Blocks of the generator that are tapped."""
        return int(self.facts["num_blocks"])

    @property
    def annotator(self) -> str:
        """Who drew the masks that it learned from."""
        return str(self.facts["annotator"])

    @property
    def temperature(self) -> float:
        """What the members' logits are divided by; 1 in files of earlier versions."""
        return float(self.facts.get("temperature", 1.0))

    @property
    def mask_offsets(self) -> Tensor:
        """`[K]`, added to log probabilities where the mask is decided; 0 in files of earlier versions."""
        return torch.tensor(self.facts.get("mask_offsets", [0.0] * len(self.classes)))

    def predict(self, maps: Sequence[Tensor], *, size: int, finest: Rows | None = None, with_chances: bool = False) -> Prediction:
        """The prediction for maps `[C, S, S]` of one image of `size` px, and the `finest` by rows where it is none of them.

        `with_chances` keeps them, 4 K bytes for each pixel.
        """
        chances = np.empty((len(self.classes), size, size), dtype=np.float32) if with_chances else None
        mask = np.empty((size, size), dtype=np.uint8)
        uncertainty, entropy, confidence = (np.empty((size, size), dtype=np.float32) for _ in range(3))
        gains = self.mask_offsets.exp().to(maps[0].device).view(-1, 1, 1)
        for first, found in logits(self._folded.to(maps[0].device), maps, size=size, finest=finest):
            rows = slice(first, first + found.shape[2])
            mean, spread = agreement(found)
            weighted = mean * gains
            shown = weighted.argmax(dim=0, keepdim=True)
            mask[rows] = shown[0].to(torch.uint8).cpu().numpy()
            uncertainty[rows] = spread.cpu().numpy()
            entropy[rows] = torch.special.entr(mean).sum(dim=0).cpu().numpy()
            confidence[rows] = mean.gather(0, shown)[0].cpu().numpy()
            if chances is not None:
                chances[:, rows] = weighted.cpu().numpy()
        return Prediction(mask, uncertainty, entropy, confidence, chances)

    def save(self, path: Path) -> None:
        """Writes the ensemble; equal ensembles have equal bytes."""
        tensors = {"standardiser.mean": self.standardiser.mean, "standardiser.std": self.standardiser.std}
        for i, member in enumerate(self.members):
            tensors.update({f"member.{i}.{name}": value for name, value in member.state_dict().items()})
        facts = self.facts | {"kind": KIND, "members": len(self.members), "classes": self.classes.to_json()}
        checkpoint.write_tensors(path, tensors, facts | {"taps": [asdict(tap) for tap in self.taps]})

    @classmethod
    def load(cls, path: Path) -> Ensemble:
        """The ensemble stored at `path`.

        Raises:
            DamagedArtifact: it is missing, altered, or something else.
        """
        try:
            tensors, facts = checkpoint.read_tensors(path)
            if facts.pop("kind") != KIND:
                raise ValueError("it is of another kind")
            classes, taps = ClassMap.from_json(facts.pop("classes")), [TapSpec(**tap) for tap in facts.pop("taps")]
            standardiser = Standardiser(tensors["standardiser.mean"], tensors["standardiser.std"])
            members = []
            for i in range(facts.pop("members")):
                member = PixelMlp(len(standardiser.mean), len(classes), **_shape(facts))
                start = f"member.{i}."
                member.load_state_dict({name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)})
                members.append(member)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise DamagedArtifact(path, f"is no ensemble of ours ({error})", "fit the classifier again with --redo") from error
        return cls(members, standardiser=standardiser, classes=classes, taps=taps, facts=facts)


def label_image(ensemble: Ensemble, generator: LatentGenerator, w: Tensor, *, with_chances: bool = False) -> tuple[np.ndarray, Prediction]:
    """The image uint8 `[H, W, 3]` of latent w `[1, w_dim]` and its prediction (`with_chances`: see `Ensemble.predict`), in one rendering.

    Raises:
        BadInput: the ensemble learned on the features of another generator, or of other layers.
    """
    if ensemble.facts["generator_hash"] != generator.content_hash:
        raise BadInput("classifier", "was fitted on the features of another generator", "extract features and fit again")
    tapped = tapping_only(generator, ensemble.taps, num_blocks=ensemble.num_blocks, where="classifier")
    unfinished = tapped.begin(w, num_blocks=ensemble.num_blocks) if isinstance(tapped, InRows) else None
    if unfinished is not None:
        return _label_by_rows(ensemble, unfinished, size=generator.resolution, with_chances=with_chances)
    image, maps = tapped.render_taps(w, num_blocks=ensemble.num_blocks)
    return to_uint8(image)[0], ensemble.predict([m[0] for m in maps], size=image.shape[-1], with_chances=with_chances)


def _label_by_rows(ensemble: Ensemble, drawn: Unfinished, *, size: int, with_chances: bool) -> tuple[np.ndarray, Prediction]:
    """The image and its prediction, both as the rows are drawn."""
    pixels = np.empty((size, size, 3), dtype=np.uint8)

    def finest(first: int, last: int) -> Tensor:
        found, image = drawn.rows(first, last)
        pixels[first:last] = to_uint8(image)[0]
        return found[0]

    return pixels, ensemble.predict([m[0] for m in drawn.maps], size=size, finest=finest, with_chances=with_chances)


def _shape(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a member is built with; earlier versions knew only one norm and order."""
    known = {"hidden": facts["hidden"], "dropout": facts["dropout"]}
    return known | {"norm": facts.get("norm", "batch"), "order": facts.get("order", "relu-norm")}


def _cooled(folded: Folded, temperature: float) -> Folded:
    """The same members, their logits divided by `temperature`."""
    if temperature == 1.0:
        return folded
    weights, biases = (*folded.weights[:-1], folded.weights[-1] / temperature), (*folded.biases[:-1], folded.biases[-1] / temperature)
    return Folded(weights, biases)


def agreement(found: Tensor) -> tuple[Tensor, Tensor]:
    """Of logits `[M, K, ...]`: the members' mean probabilities `[K, ...]`, and their Jensen-Shannon divergence `[...]` in nats."""
    log_chances = F.log_softmax(found, dim=1)
    chances = log_chances.exp()
    mean = chances.mean(dim=0)
    entropies = -(chances * log_chances).sum(dim=1)
    return mean, (torch.special.entr(mean).sum(dim=0) - entropies.mean(dim=0)).clamp(min=0)
