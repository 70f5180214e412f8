"""Which candidates are held back: the most uncertain ones, by a rule that holds for any number.

DatasetGAN (arXiv 2104.06490, section 3.3) scores an image by the mean over its 10 % most uncertain pixels and drops the 10 % most
uncertain images. Its released code slices the sorted list `[30 : -n_drop + 30]`, which drops the 30 *best*, keeps 30 it meant to drop and
gives nothing at all for small sets; here the rule is stated and tested instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def num_candidates(num: int, drop_share: float) -> int:
    """How many candidates to draw: the largest N with N - floor(drop_share * N) == num.

    So exactly floor(drop_share * N) are dropped, and the share dropped is as near to `drop_share` from below as `num` allows: 10 of 100 for
    (90, 0.1), none of 1 for (1, 0.1). The share is taken as the decimal it is written as, so that 0.29 of 100 is 29.
    """
    share = Fraction(str(drop_share))
    # N - floor(share N) is (1 - share) N rounded up, so it is <= num exactly while (1 - share) N <= num.
    return math.floor(num / (1 - share))


def kept(scores: Sequence[float], *, num: int) -> tuple[int, ...]:
    """The `num` least uncertain candidates, in the order of their number; of equals the earlier ones stay."""
    order = sorted(range(len(scores)), key=lambda index: (scores[index], index))
    return tuple(sorted(order[:num]))
