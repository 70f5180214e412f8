"""Networks that others trained, as embedders: an ONNX file on this machine, run by onnxruntime.

Inception of the published FID and the pathology networks (UNI, Virchow, Phikon and others) come as weights for code that changes with
every release. As ONNX any of them is data, needs neither that code nor its libraries, and runs nothing of its own. How to
export one: docs/how-to/encoders.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from hdgan.errors import BadInput
from hdgan.optional import require
from hdgan.store.hashing import hash_file

InputRange = Literal["imagenet", "half", "unit"]
"""What the network takes: `imagenet`, standardised by ImageNet's means and spreads; `half`, -1 to 1; `unit`, 0 to 1."""
_RANGES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
_AT_ONCE = 32
_REMEDY = "export it with one input [N, 3, H, W] and features [N, D] as its first output (docs/how-to/encoders.md)"


class OnnxEncoder:
    """Implements `Embedder` for an ONNX file with one input `[N, 3, H, W]` float32 and features `[N, D]` as its first output.

    Where the file fixes H and W, images are resized to them (bicubic, with antialiasing), else given as they are.
    """

    has_common_unit = True

    def __init__(self, path: Path, *, takes: InputRange = "imagenet") -> None:
        """Reads the file.

        Raises:
            BadInput: there is none, onnxruntime cannot read it, or it has other inputs or outputs.
            MissingExtra: onnxruntime is not installed.
        """
        if not path.is_file():
            raise BadInput(path, "no such encoder", "give an ONNX file")
        runtime = require("onnxruntime", extra="onnx")
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = _num_threads()
        settings.log_severity_level = 4
        try:
            self._session = runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no other base
            raise BadInput(path, f"onnxruntime cannot read it ({_first_line(error)})", _REMEDY) from error
        self._path = path
        self._input, self._edges_px, self._fixed_batch = self._wanted()
        self._mean, self._std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in _RANGES[takes])
        self.num_features = self._run(np.zeros((1, 3, *(self._edges_px or (224, 224))), np.float32)).shape[1]
        self.name = f"{path.stem}, {takes}"
        self.content_hash = _content_hash(path, takes)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Features `[N, num_features]` float32 of images `[N, H, W, 3]` uint8."""
        return np.concatenate([self._run(self._prepared(part)) for part in _parts(images, self._fixed_batch or _AT_ONCE)])

    def _wanted(self) -> tuple[str, tuple[int, int] | None, int | None]:
        """Name of the input; height and width, and number of images at once, where the file fixes them."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3 or inputs[0].type != "tensor(float)":
            told = "; ".join(f"{found.name} {found.shape} {found.type}" for found in inputs)
            raise BadInput(self._path, f"takes {told}", _REMEDY)
        batch, _, height, width = inputs[0].shape
        edges = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        return inputs[0].name, edges, batch if isinstance(batch, int) else None

    def _prepared(self, images: np.ndarray) -> np.ndarray:
        if self._edges_px and images.shape[1:3] != self._edges_px:
            size = self._edges_px[::-1]
            images = np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in images])
        return (images.transpose(0, 3, 1, 2).astype(np.float32) / 255 - self._mean) / self._std

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        num = len(pixels)
        if self._fixed_batch and num < self._fixed_batch:  # filled up with copies of the last
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], self._fixed_batch - num, axis=0)])
        try:
            features: Any = self._session.run(None, {self._input: pixels})[0]
        except Exception as error:  # onnxruntime's errors have no other base
            raise BadInput(self._path, f"does not run on images {pixels.shape} ({_first_line(error)})", _REMEDY) from error
        if not isinstance(features, np.ndarray) or features.ndim != 2 or len(features) != len(pixels):
            raise BadInput(self._path, f"gives {getattr(features, 'shape', type(features).__name__)} for {len(pixels)} images", _REMEDY)
        return features[:num].astype(np.float32)


def _parts(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (images[i : i + size] for i in range(0, len(images), size))


def _num_threads() -> int:
    """As many as torch would take, which onnxruntime does not ask for itself; 0: its own choice. OpenMP's may be a list, one for each level."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _content_hash(path: Path, takes: str) -> str:
    """Covers the file, the weights that torch stores beside a large one, and the range of the input."""
    beside = path.with_name(path.name + ".data")
    hashes = [hash_file(part) for part in (path, beside) if part.is_file()]
    return hashlib.sha256("\0".join([*hashes, takes]).encode()).hexdigest()
