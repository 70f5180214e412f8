"""What defines a network pair: plain data, importable without pydantic (the GPU scripts need torch and numpy only)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from hdgan.errors import BadConfig

_ADDED = {"discriminator": "resnet"}
"""Fields that files of earlier versions lack, and what those were made with."""


@dataclass(frozen=True)
class TapSpec:
    """One tapped feature map: the output of one 3x3 convolution after noise, bias and activation.

    `name` is block and layer ("b64.conv1"), `resolution` the edge of the map in px.
    """

    name: str
    channels: int
    resolution: int


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Shape of a generator and its discriminator (arXiv 1912.04958; channel rule of arXiv 2006.06676)."""

    resolution: int
    """Edge of the images in px, a power of two from 16 to 4096."""
    image_channels: int = 3
    z_dim: int = 512
    w_dim: int = 512
    label_dim: int = 0
    """Length of the condition vector; 0 for none."""
    mapping_layers: int = 2
    mapping_lr: float = 0.01
    """Learning-rate multiplier of the mapping network."""
    channel_base: int = 32768
    """Channels at resolution r are min(channel_base // r, channel_max)."""
    channel_max: int = 512
    start: str = "constant"
    """What the 4x4 block begins with: a learned `constant`, or a linear map of the `latent` (layouts then differ early)."""
    noise_from_px: int = 4
    """Noise inputs exist in blocks of at least this resolution; above `resolution`: nowhere."""
    noise_maps: str = "shared"
    """What images are drawn with after training: `shared` maps stored with the weights, as published, or each image's `own`."""
    minibatch_std_group: int = 4
    """Images whose spread the discriminator sees; they may lie in several passes of gradient accumulation (`accumulate`). 0: none."""
    discriminator: str = "resnet"
    """`resnet`: each block beside a 1x1 skip; `orig`: without, as published for 32 px images."""
    low_precision: str = "float32"
    """Number format of the finest blocks: float32, float16 or bfloat16."""
    num_low_precision: int = 0
    """How many of the finest blocks use it."""
    clamp: float | None = None
    """Limit of activations in the blocks of the low precision (256 with float16).

    The published code limits all blocks of a network once it limits any; in float32, where nothing overflows, we do not.
    """

    def __post_init__(self) -> None:
        """Refuses shapes that cannot be built.

        Raises:
            BadConfig: naming the field.
        """
        log2 = math.log2(self.resolution) if self.resolution > 0 else 0.0
        if log2 != int(log2) or not 16 <= self.resolution <= 4096:
            raise BadConfig("generator.resolution", f"{self.resolution}", "use a power of two from 16 to 4096")
        if self.start not in ("constant", "latent"):
            raise BadConfig("generator.start", f"{self.start!r}", "use constant or latent")
        if self.discriminator not in ("resnet", "orig"):
            raise BadConfig("generator.discriminator", f"{self.discriminator!r}", "use resnet or orig")
        if self.image_channels < 1 or self.label_dim < 0:
            raise BadConfig("generator", f"{self.image_channels} image channels and {self.label_dim} labels", "at least 1 and 0")
        if self.noise_maps not in ("shared", "own"):
            raise BadConfig("generator.noise_maps", f"{self.noise_maps!r}", "use shared or own")
        if self.low_precision not in ("float32", "float16", "bfloat16"):
            raise BadConfig("generator.low_precision", f"{self.low_precision!r}", "use float32, float16 or bfloat16")
        if self.channel_base // self.resolution < 1:
            raise BadConfig("generator.channel_base", f"{self.channel_base} gives no channel at {self.resolution} px", "raise it")

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., resolution."""
        return tuple(2**i for i in range(2, int(math.log2(self.resolution)) + 1))

    @property
    def num_ws(self) -> int:
        """How many times the latent enters the synthesis: one for each convolution and one for the last toRGB."""
        return 2 * int(math.log2(self.resolution)) - 2

    def channels(self, resolution: int) -> int:
        """Channels of the block at `resolution` px."""
        return min(self.channel_base // resolution, self.channel_max)

    def is_low_precision(self, resolution: int) -> bool:
        """Whether the block at `resolution` px runs in `low_precision`."""
        lowest = max(self.resolution * 2 // 2**self.num_low_precision, 8)
        return self.low_precision != "float32" and self.num_low_precision > 0 and resolution >= lowest

    def taps(self, num_blocks: int) -> tuple[TapSpec, ...]:
        """Every 3x3 convolution of the last `num_blocks` blocks, coarse to fine; toRGB is none.

        Raises:
            BadConfig: there are fewer blocks.
        """
        resolutions = self.block_resolutions
        if not 1 <= num_blocks <= len(resolutions):
            raise BadConfig("features.num_blocks", f"{num_blocks}", f"this generator has {len(resolutions)} blocks")
        return tuple(
            TapSpec(f"b{resolution}.conv{i}", self.channels(resolution), resolution)
            for resolution in resolutions[-num_blocks:]
            for i in ((1,) if resolution == 4 else (0, 1))
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored beside the weights; fields that came later are left out at their first value, so that hashes stay."""
        data = dataclasses.asdict(self)
        return {name: value for name, value in data.items() if _ADDED.get(name, ...) != value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetworkSpec:
        """The spec in `data`.

        Raises:
            BadConfig: a field is unknown or missing.
        """
        try:
            return cls(**data)
        except TypeError as error:
            raise BadConfig("network spec", str(error), "was it written by a newer version?") from error
