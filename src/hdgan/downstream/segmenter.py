"""A U-Net that labels images, with everything it needs to be used: classes, scale, and who taught it.

Images are uint8 `[H, W, 3]`, masks uint8 `[H, W]` of class indices. Stored as safetensors; format: docs/formats/downstream.md.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from hdgan.downstream.config import SegmenterConfig
from hdgan.errors import BadInput, DamagedArtifact
from hdgan.labels import ClassMap
from hdgan.optional import require
from hdgan.training import checkpoint, seeds
from hdgan.training.dropout import with_our_dropout

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = "segmenter.safetensors"
KIND = "unet"

_OVERLAP = 0.5
_WINDOWS_AT_ONCE = 8


@dataclass(frozen=True)
class Segmenter:
    """A trained network; call `predict`."""

    network: nn.Module
    config: SegmenterConfig
    classes: ClassMap
    crop_px: int
    """Edge of the crops it was trained on, px; larger images are labelled in overlapping windows of this size."""
    mpp: float | None
    """Scale of its training images, um/px."""
    name: str
    """Who or what it learnt from, as it is named in reports."""

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Class probabilities float32 `[C, H, W]` of one image of any size."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"not an 8-bit RGB image: {image.dtype} {image.shape}")
        device = next(self.network.parameters()).device
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            total = torch.zeros((1, len(self.classes), *image.shape[:2]), device=device)
            turns = _TURNS if self.config.average_turns else _TURNS[:1]
            for quarters, is_flipped in turns:
                view = torch.rot90(pixels, quarters, (2, 3))
                found = self._softmax(view.flip(3) if is_flipped else view)
                found = found.flip(3) if is_flipped else found
                total += torch.rot90(found, -quarters, (2, 3))
        result: np.ndarray = (total[0] / len(turns)).cpu().numpy()
        return result

    def predict(self, image: np.ndarray) -> np.ndarray:
        """The most probable class of each pixel, uint8 `[H, W]`."""
        mask: np.ndarray = self.probabilities(image).argmax(axis=0).astype(np.uint8)
        return mask

    def _softmax(self, pixels: Tensor) -> Tensor:
        """Probabilities `[1, C, H, W]` of pixels `[1, 3, H, W]`, in windows where the image is larger than a training crop."""

        def of(crops: Tensor) -> Tensor:
            return torch.softmax(self.network(crops - 0.5), dim=1)

        height, width = pixels.shape[2:]
        if max(height, width) <= self.crop_px:
            stride = self.config.stride_px
            padded = _pad(pixels, bottom=-height % stride, right=-width % stride)
            return of(padded)[:, :, :height, :width]
        return _in_windows(pixels, self.crop_px, of)


_TURNS = tuple((quarters, is_flipped) for is_flipped in (False, True) for quarters in range(4))


def build_network(config: SegmenterConfig, *, num_classes: int) -> nn.Module:
    """An untrained U-Net; draws its weights from torch's global state (see `training.seeds.reseed`).

    Group normalisation: no running statistics, so training and prediction see the same network, whatever the batch.
    """
    require("monai", extra="gan")
    from monai.networks.nets.unet import UNet  # costs seconds, so only when a network is built

    network: nn.Module = UNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=num_classes,
        channels=config.channels,
        strides=(1, *(2,) * (len(config.channels) - 2)),
        num_res_units=config.num_res_units,
        norm=("GROUP", {"num_groups": 1}),
        dropout=config.dropout,
    )
    return with_our_dropout(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def save_segmenter(path: Path, segmenter: Segmenter, *, facts: dict[str, Any] | None = None) -> None:
    """Writes weights, settings, classes, scale and name; `facts` are plain data on the training."""
    about = {
        "kind": KIND,
        "config": segmenter.config.model_dump(mode="json"),
        "classes": segmenter.classes.to_json(),
        "crop_px": segmenter.crop_px,
        "mpp": segmenter.mpp,
        "name": segmenter.name,
        "trained": facts or {},
    }
    checkpoint.write_tensors(path, dict(segmenter.network.state_dict()), about)


def load_segmenter(path: Path, *, device: str = "cpu") -> Segmenter:
    """The segmenter stored at `path`.

    Raises:
        BadInput: there is no such file.
        DamagedArtifact: it is altered, or of another kind.
    """
    if not path.is_file():
        raise BadInput(path, "no such segmenter", "train one first")
    try:
        tensors, about = checkpoint.read_tensors(path)
        if about.get("kind") != KIND:
            raise ValueError(f"it is a {about.get('kind')!r}")
        config = SegmenterConfig.model_validate(about["config"])
        classes = ClassMap.from_json(about["classes"], where=path)
        network = build_network(config, num_classes=len(classes))
        network.load_state_dict(tensors)
    except (ValueError, KeyError, RuntimeError, ValidationError) as error:
        raise DamagedArtifact(path, f"is no segmenter of ours ({error})", "train it again") from error
    network = network.to(device).eval().requires_grad_(False)
    return Segmenter(network, config, classes, int(about["crop_px"]), about["mpp"], str(about["name"]))


def untrained(config: SegmenterConfig, *, classes: ClassMap, crop_px: int, mpp: float | None, name: str, seed: int) -> Segmenter:
    """A segmenter with the initial weights of `seed`."""
    seeds.reseed(seed, "segmenter.init")
    return Segmenter(build_network(config, num_classes=len(classes)), config, classes, crop_px, mpp, name)


def _pad(pixels: Tensor, *, bottom: int, right: int) -> Tensor:
    return nn.functional.pad(pixels, (0, right, 0, bottom), mode="replicate") if bottom or right else pixels


def _in_windows(pixels: Tensor, crop_px: int, predictor: Callable[[Tensor], Tensor]) -> Tensor:
    from monai.inferers.utils import sliding_window_inference

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="monai")  # its own notes on torch's indexing
        result = sliding_window_inference(
            pixels, crop_px, _WINDOWS_AT_ONCE, predictor, overlap=_OVERLAP, mode="gaussian", padding_mode="replicate"
        )
    assert isinstance(result, Tensor)
    return result
