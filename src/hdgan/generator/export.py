"""A trained generator for other programs: latents in, images and tapped feature maps out, as ONNX or `torch.export`.

The graph takes w as samples store it. What our own code draws from the seed in w's last number (decision 004), another
program cannot: where noise is each image's own, the maps are further inputs, and `noise_inputs` makes them.
Letters: N images, R resolution in px.
"""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hdgan.generator.capture import captured
from hdgan.generator.noise import own_maps
from hdgan.generator.weights import TrainedGenerator
from hdgan.optional import require
from hdgan.store.atomic import replacing, write_bytes

Format = Literal["onnx", "torch"]
IMAGE, LATENT = "image", "w"
_TRIAL_IMAGES = 2  # an example of 1 would fix the number of images in the graph
TOLERANCE = 1e-4
"""Largest difference that a checked export may have from our own images, of 2 from black to white."""


class ExportedGenerator(nn.Module):
    """`w [N, D]` (and noise maps) to the image `[N, 3, R, R]`, about -1 to 1, and the maps of the last `num_blocks` blocks."""

    def __init__(self, generator: TrainedGenerator, *, num_blocks: int) -> None:
        super().__init__()
        self.network = generator.network
        self.taps = generator.taps(num_blocks)
        self.noise_names = tuple(own_maps(self.network.synthesis, torch.zeros(1, 1))) if generator.has_own_noise else ()

    def forward(self, w: Tensor, *noise: Tensor) -> tuple[Tensor, ...]:
        """The image first, then the maps in the order of the taps."""
        maps: Any = dict(zip(self.noise_names, noise, strict=True)) if self.noise_names else "const"
        ws = self.network.spread(w[:, : self.network.spec.w_dim])
        image, tapped = captured(self.network.synthesis, ws, noise=maps, names=[tap.name for tap in self.taps])
        return (image, *tapped)

    @property
    def input_names(self) -> list[str]:
        """`w`, and `noise.<layer>` for each layer with noise of the image's own."""
        return [LATENT, *(f"noise.{name}" for name in self.noise_names)]

    @property
    def output_names(self) -> list[str]:
        """`image`, and the name of each tap."""
        return [IMAGE, *(tap.name for tap in self.taps)]


def noise_inputs(generator: TrainedGenerator, w: Tensor) -> tuple[Tensor, ...]:
    """The noise maps `[N, 1, R', R']` of latents `w [N, D]`, in the order of the exported inputs; none where maps are stored."""
    return tuple(own_maps(generator.network.synthesis, w[:, -1:]).values()) if generator.has_own_noise else ()


def export_generator(generator: TrainedGenerator, path: Path, *, form: Format, num_blocks: int) -> ExportedGenerator:
    """Writes `generator` to `path`; the module that was written.

    Raises:
        BadConfig: the generator has fewer blocks.
        MissingExtra: ONNX was asked for and its libraries are not installed.
    """
    module = ExportedGenerator(generator, num_blocks=num_blocks).eval()
    w = generator.map(torch.randn(_TRIAL_IMAGES, generator.z_dim, generator=torch.Generator().manual_seed(0)), psi=1.0)
    example = (w, *noise_inputs(generator, w))
    number = torch.export.Dim("N", min=1, max=4096)
    further = (tuple({0: number} for _ in example[1:]),) if len(example) > 1 else ()
    shapes = ({0: number}, *further)
    if form == "onnx":
        for needed in ("onnxscript", "onnxruntime"):  # the second checks what the first wrote
            require(needed, extra="onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn of their own future
        program = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
        if form == "torch":
            buffer = io.BytesIO()
            torch.export.save(program, buffer)
            write_bytes(path, buffer.getvalue())
            return module
        _write_onnx(program, path, module)
    return module


def _write_onnx(program: Any, path: Path, module: ExportedGenerator) -> None:
    before = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        exported = torch.onnx.export(
            program, input_names=module.input_names, output_names=module.output_names, dynamo=True, verbose=False, optimize=True
        )
    finally:
        logging.getLogger("torch.onnx").setLevel(before)
    assert exported is not None
    with replacing(path) as temporary:
        exported.save(temporary, external_data=False)


def onnx_difference(generator: TrainedGenerator, path: Path, *, num_blocks: int, seed: int = 1) -> float:
    """Largest difference of images and maps between onnxruntime on the file `path` and our own, for three new latents.

    Raises:
        MissingExtra: onnxruntime is not installed.
    """
    runtime = require("onnxruntime", extra="onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    w = generator.map(torch.randn(3, generator.z_dim, generator=torch.Generator().manual_seed(seed)), psi=0.7)
    names = [found.name for found in session.get_inputs()]
    feeds = dict(zip(names, (tensor.numpy() for tensor in (w, *noise_inputs(generator, w))), strict=True))
    image, maps = generator.render_taps(w, num_blocks=num_blocks)
    theirs = session.run(None, feeds)
    return max(float(np.abs(found - ours.numpy()).max()) for found, ours in zip(theirs, (image, *maps), strict=True))
