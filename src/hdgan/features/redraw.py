"""Features of an annotated image out of its latent: drawn again, compared with the picture that the mask was drawn on, then rounded as asked."""

from __future__ import annotations

import torch
from torch import Tensor

from hdgan.errors import BadInput
from hdgan.generator.protocol import LatentGenerator, to_uint8
from hdgan.samples.recheck import Verdict, recheck
from hdgan.store.bank import SampleBank
from hdgan.training.memory import trim


def draw_checked(
    network: LatentGenerator, bank: SampleBank, name: str, *, annotated_hash: str, num_blocks: int, dtype: str
) -> tuple[Verdict, tuple[Tensor, ...]]:
    """What the comparison found and the maps `[C, S, S]` of the sample called `name`, on the CPU in `dtype`.

    `annotated_hash` is that of the pixels on which the mask was drawn.

    Raises:
        BadInput: image, latent, generator and mask do not belong together, or a value is not finite in `dtype`.
    """
    row = bank.by_name(name)
    if annotated_hash != row.image_hash:
        raise BadInput(bank.folder, f"the mask of {name} was drawn on another picture", "annotate the present one")
    w = torch.from_numpy(bank.latent(row.index)).unsqueeze(0)
    with torch.no_grad():
        image, found = network.render_taps(w, num_blocks=num_blocks)
    if not _is_finite(image):
        remedy = "the generator's weights are broken: use an earlier snapshot"
        raise BadInput(f"sample {name}", "its image has pixels that are not finite", remedy)
    verdict = recheck(network, bank, row.index, rendered=to_uint8(image)[0])
    if not verdict.is_usable:
        raise BadInput(bank.folder, f"{name} is not what its latent gives: {verdict.reason}", "draw the samples again with --redo")
    drawn = list(found)
    del image, found
    trim()  # what drawing freed in small blocks would be held beside everything that follows
    return verdict, rounded(drawn, name=name, dtype=dtype)


def rounded(maps: list[Tensor], *, name: str, dtype: str) -> tuple[Tensor, ...]:
    """The maps `[1, C, S, S]` as `[C, S, S]` in `dtype`, on the CPU; `maps` is emptied, so that no two copies of all are held.

    Raises:
        BadInput: a value is not finite, or does not fit into `dtype`.
    """
    kept = []
    while maps:
        values = maps.pop(0)[0].detach().to("cpu", getattr(torch, dtype))
        if not _is_finite(values):
            raise BadInput(f"sample {name}", f"its features are not finite in {dtype}", "use float32, or check the generator")
        kept.append(values)
    return tuple(kept)


def _is_finite(values: Tensor) -> bool:
    """Whether no value is infinite or no number; unlike `torch.isfinite` without a copy of them."""
    return all(bool(torch.isfinite(bound)) for bound in torch.aminmax(values))
