"""How a generator is trained: plain data, importable without pydantic (the GPU scripts need torch and numpy only)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from hdgan.errors import BadConfig
from hdgan.generator.augment_sets import SETS


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Schedule, losses and augmentation (arXiv 2006.06676, table of hyperparameters). The clock is images seen."""

    kimg: float
    """Length, in thousands of real images shown to the discriminator."""
    batch: int
    microbatch: int | None = None
    """Images per pass, of all processes together, where the batch does not fit into memory; gradients are accumulated."""
    recompute_from_px: int | None = None
    """Blocks of at least this resolution are computed twice instead of kept for the gradient; None: none is."""
    is_compiled: bool = False
    """Networks and penalties run as kernels that torch compiles for this machine (`calls`)."""
    allow_tf32: bool = False
    """On a GPU convolutions in float32 may round what they multiply to 10 bits; as published, they do not unless asked."""
    lr: float = 0.0025
    """Adam step of both networks, before the correction for lazy regularisation."""
    gamma: float
    """Weight of R1; the usual rule is 0.0002 * resolution^2 / batch."""
    r1_interval: int = 16
    path_weight: float = 2.0
    """Weight of path-length regularisation; 0 turns it off."""
    path_interval: int = 4
    mixing: float = 0.9
    """Chance that two latents share an image."""
    ema_kimg: float = 10.0
    ema_rampup: float | None = 0.05
    """Limits the average's half-life to this share of the images seen so far."""
    reuses_fakes: bool = False
    """The discriminator sees the generator step's images instead of fresh ones: a forward pass saved."""
    augment: str = "bgc"
    """The augmentation's set of operations (`augment.SETS`), or `none`."""
    ada_target: float | None = 0.6
    """Wanted mean sign of the discriminator's logits on real images; None keeps the chance at `ada_p`."""
    ada_p: float = 0.0
    """The chance of each operation at the beginning."""
    ada_p_max: float = 0.8
    """Above this the augmentation leaks into the images (arXiv 2006.06676, section 3)."""
    ada_kimg: float = 500.0
    """How many thousand images a change of the chance from 0 to 1 takes."""
    ada_interval: int = 4
    freeze_d: int = 0
    """Layers of the discriminator, from the image on, that keep the weights they began with (arXiv 2002.10964)."""
    lr_decay_from: float = 1.0
    """Share of the run, or of each of its `cycles_kimg`, after which the step falls along a cosine to a fifth; 1: never."""
    cycles_kimg: tuple[float, ...] = ()
    """Thousands of images after each of which the step is full again (warm restarts, arXiv 1608.03983); none: the run is one cycle."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses schedules that cannot run.

        Raises:
            BadConfig: naming the field.
        """
        if self.batch < 1 or self.batch % (self.microbatch or self.batch):
            raise BadConfig("generator.microbatch", f"{self.microbatch} does not divide the batch of {self.batch}")
        if self.cycles_kimg and not math.isclose(sum(self.cycles_kimg), self.kimg):
            raise BadConfig("generator.kimg", f"cycles of {sum(self.cycles_kimg):g} thousand images in a run of {self.kimg:g}")
        if self.freeze_d < 0:
            raise BadConfig("generator.freeze_d", f"{self.freeze_d}", "use a number of layers, 0 for none")
        if self.r1_interval < 0 or self.path_interval < 1 or self.ada_interval < 1:
            raise BadConfig("generator", "an interval is below 1")

    @property
    def num_bytes_held(self) -> int:
        """Bytes that a step holds from its first pass to its last for each value of an image: real ones in 8 bits, generated ones that are
        seen again in 32.
        """
        return self.batch * (5 if self.reuses_fakes else 1)

    def step_share(self, num_images: int) -> float:
        """The share of Adam's step that is taken after `num_images`: 1, or less where it falls towards the end of a cycle."""
        cycles, begun = list(self.cycles_kimg or (self.kimg,)), 0.0
        while len(cycles) > 1 and num_images >= (begun + cycles[0]) * 1000:
            begun += cycles.pop(0)
        progress = (num_images - begun * 1000) / (cycles[0] * 1000)
        if progress <= self.lr_decay_from:
            return 1.0
        phase = min((progress - self.lr_decay_from) / max(1 - self.lr_decay_from, 1e-8), 1.0)
        return 0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * phase))

    @property
    def is_adaptive(self) -> bool:
        """Whether the chance of augmentation follows the discriminator's confidence."""
        return self.ada_target is not None and bool(SETS.get(self.augment))

    def spans_passes(self, *, group: int) -> bool:
        """Whether a `group` of minibatch statistics has more images than a pass (`accumulate`)."""
        return (self.microbatch or self.batch) < min(group, self.batch)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored beside the weights."""
        return dataclasses.asdict(self)
