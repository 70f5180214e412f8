"""How much each tapped map counts among a pixel's features.

Standardised features count by their number: of a small generator's thousand channels six hundred are of maps of 4 and 8 px, three are the
image's colours. What has more of the variance is learnt first, and the coarsest maps, which tell one training image from another, are learnt
by heart. So channels are scaled. Any classifier could undo it; a fitted one has it within its standardisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hdgan.classifier.config import TapWeights
from hdgan.features.moments import Standardiser
from hdgan.generator.spec import TapSpec


def weighted(standardiser: Standardiser, taps: Sequence[TapSpec], *, by: TapWeights) -> Standardiser:
    """`standardiser` with channels scaled: not at all (`channels`), to one variance of each map (`maps`), or to one proportional to its edge (`fine`).

    The variance of all channels stays what it was, their number. Of a single map nothing changes.
    """
    if by == "channels":
        return standardiser
    share = torch.cat([torch.full((tap.channels,), tap.resolution ** (by == "fine") / tap.channels, dtype=torch.float64) for tap in taps])
    scale = (share * (len(share) / share.sum())).sqrt()
    return Standardiser(standardiser.mean, (standardiser.std.double() / scale).float())
