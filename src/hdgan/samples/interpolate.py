"""Walks through the latent space: what lies between images, as a sheet and as a video.

A walk goes through a few latents and back to the first. `linear` moves w on straight lines; `spherical` moves z on great
circles (arXiv 1609.04468), where z is as long as a drawn one, and maps every step. Noise of an image's own is a function of z
(docs/decisions/004-noise-belongs-to-the-image.md) and would jump from step to step: the first latent's seed is held all along, so
what moves is what the latent decides. The label of a z is a function of it as well (docs/how-to/conditions.md): a walk on great
circles has that of its first latent. Letters: P latents, F steps from each to the next, D latent width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from hdgan.errors import BadInput
from hdgan.generator.protocol import LatentGenerator
from hdgan.generator.weights import TrainedGenerator, load_generator
from hdgan.plots.sheets import contact_sheet
from hdgan.progress import SILENT, Progress, track
from hdgan.randomness import stream
from hdgan.samples.draw import render_pixels
from hdgan.samples.shortlist import shrink
from hdgan.samples.stage import weights_of
from hdgan.store.atomic import write_animation, write_png

SHEET = "interpolation.png"
VIDEO = "interpolation.webp"
Way = Literal["linear", "spherical"]

_SHEET_COLUMNS = 8
_SHEET_PX = 160
_VIDEO_PX = 512
_STEP_MS = 80


def interpolate(
    generator: Path,
    *,
    out: Path,
    psi: float,
    seed: int,
    num_latents: int = 6,
    num_steps: int = 24,
    way: Way = "linear",
    condition: str | None = None,
    progress: Progress = SILENT,
) -> tuple[Path, Path]:
    """The sheet (a row for each pair of latents) and the video of a walk, written to `out`, drawn by the weights in `generator`.

    All latents have the label `condition`; None: each its own.

    Raises:
        BadConfig: the generator knows no such label.
        BadInput: `out` is a file, there are no weights, or they give pixels that are not finite.
    """
    if out.exists() and not out.is_dir():
        raise BadInput(out, "is a file", "name a folder for the sheet and the video")
    weights, _ = weights_of(generator)
    model = load_generator(weights).asked_for(condition)
    ws = walk(model, psi=psi, seed=seed, num_latents=num_latents, num_steps=num_steps, way=way, num_held=_num_held(model))
    small, frames = [], []
    for number, w in enumerate(track(ws, total=len(ws), label="draw the walk", progress=progress)):
        image = render_pixels(model, w, what=f"step {number}")
        small.append(shrink(image, edge_px=_SHEET_PX))
        frames.append(shrink(image, edge_px=_VIDEO_PX))
    write_png(out / SHEET, contact_sheet([small[i] for i in _shown(num_latents, num_steps)], columns=_SHEET_COLUMNS + 1))
    write_animation(out / VIDEO, frames, step_ms=_STEP_MS)
    return out / SHEET, out / VIDEO


def walk(
    generator: LatentGenerator, *, psi: float, seed: int, num_latents: int, num_steps: int, way: Way, num_held: int = 0
) -> NDArray[np.float32]:
    """Latents `[P F, D]`: latent p of `seed` is number p F, and the last step leads back to the first.

    The last `num_held` numbers of each are those of the first latent.
    """
    draws = [stream(seed, "samples.interpolation", p).standard_normal(generator.z_dim, dtype=np.float32) for p in range(num_latents)]
    z = torch.from_numpy(np.stack(draws))
    if way == "spherical":
        generator = _with_label_of(z[:1], generator)
        z = _between(z, num_steps, _on_circle)
    with torch.no_grad():
        ws = torch.cat([generator.map(part, psi=psi).float().cpu() for part in torch.split(z, 1)])  # one at a time, as images are drawn
    if way == "linear":
        ws = _between(ws, num_steps, _on_line)
    if num_held:
        ws[:, -num_held:] = ws[0, -num_held:]
    return ws.numpy()


def _with_label_of(z: torch.Tensor, generator: LatentGenerator) -> LatentGenerator:
    """The generator, all of whose latents have the label of `z [1, z_dim]`, where it takes any."""
    return generator.asked_for(generator.condition_of(z)) if isinstance(generator, TrainedGenerator) else generator


def _num_held(generator: TrainedGenerator) -> int:
    """A latent ends in the seed of its noise where noise is each image's own."""
    return 1 if generator.has_own_noise else 0


def _between(points: torch.Tensor, num_steps: int, mix: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]) -> torch.Tensor:
    """`[P F, D]`: each of `points [P, D]` and the steps to the next, the last one's next being the first."""
    steps = [mix(a, b, step / num_steps) for a, b in zip(points, points.roll(-1, dims=0), strict=True) for step in range(num_steps)]
    return torch.stack(steps)


def _on_line(a: torch.Tensor, b: torch.Tensor, share: float) -> torch.Tensor:
    return torch.lerp(a, b, share)


def _on_circle(a: torch.Tensor, b: torch.Tensor, share: float) -> torch.Tensor:
    """The point at `share` of the arc from `a` to `b`, its length between theirs."""
    cosine = torch.dot(a, b) / (a.norm() * b.norm())
    angle = torch.acos(cosine.clamp(-1, 1))
    if float(torch.sin(angle)) < 1e-4:
        return _on_line(a, b, share)
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)


def _shown(num_latents: int, num_steps: int) -> Sequence[int]:
    """Numbers of the steps on the sheet: of each row nine, from one latent to the next."""
    total = num_latents * num_steps
    return [(p * num_steps + round(c * num_steps / _SHEET_COLUMNS)) % total for p in range(num_latents) for c in range(_SHEET_COLUMNS + 1)]
