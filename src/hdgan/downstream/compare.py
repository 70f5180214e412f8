"""The comparison: one network trained on synthetic pairs, on the few real ones, and on both, tested on the same real tiles.

Every arm has the same network, steps and batch, and sees images without margin: what an annotator would have been given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hdgan.downstream.config import DownstreamConfig, SegmenterConfig
from hdgan.downstream.fit import HeldPairs, JoinedPairs, Pairs
from hdgan.errors import BadInput
from hdgan.measures.confusion import confusion
from hdgan.measures.intervals import bootstrap, over_same_classes
from hdgan.measures.scores import occurring, score
from hdgan.randomness import stream


@dataclass(frozen=True)
class Arm:
    """What one network learns from."""

    name: str
    pairs: Pairs
    trained_on: str
    """In words, for the report."""


def arms(config: DownstreamConfig, *, synthetic: Pairs, real: HeldPairs, seed: int) -> tuple[Arm, ...]:
    """The arms asked for, in their order."""
    few = choose_real(real, num=config.num_real, seed=seed)
    of_synthetic, of_real = f"{len(synthetic)} synthetic pairs", f"{len(few)} real annotated images"
    known = {
        "synthetic": Arm("synthetic", synthetic, of_synthetic),
        "real": Arm("real", few, of_real),
        "both": Arm("both", JoinedPairs(synthetic, few), f"{of_synthetic} and {of_real}, half of each batch from either"),
    }
    return tuple(known[name] for name in config.arms)


def choose_real(real: HeldPairs, *, num: int, seed: int) -> HeldPairs:
    """`num` of the real pairs (all, where there are fewer), drawn by the seed."""
    order = stream(seed, "downstream.real").permutation(len(real))[:num]
    picked = sorted(int(index) for index in order)
    return HeldPairs([real.images[index] for index in picked], [real.masks[index] for index in picked])


def shared_settings(config: SegmenterConfig, *, tile_px: int, synthetic_px: int) -> SegmenterConfig:
    """The settings with one crop for all arms: the largest that fits both kinds of image, where none is set.

    Raises:
        BadInput: the crop that is set does not fit.
    """
    largest = min(tile_px, synthetic_px)
    if config.crop_px is not None:
        if config.crop_px > largest:
            raise BadInput(
                "downstream.segmenter.crop_px", f"{config.crop_px} px, the smallest image has {largest} px", "choose a smaller crop"
            )
        return config
    if largest < config.stride_px:
        raise BadInput("downstream.segmenter.channels", f"{len(config.channels)} levels for images of {largest} px", "give fewer levels")
    return config.model_copy(update={"crop_px": largest - largest % config.stride_px})


def differences(
    predictions: Mapping[str, Sequence[np.ndarray]], test: Pairs, *, num_classes: int, seed: int, resamples: int
) -> list[dict[str, Any]]:
    """For each two arms, macro Dice of the first less that of the second, with a 95 % interval over the same resampled images."""
    matrices = {
        name: np.stack([confusion(test.pair(index)[1], mask, num_classes) for index, mask in enumerate(masks)])
        for name, masks in predictions.items()
    }

    def difference(stacked: np.ndarray) -> float:
        return score(stacked[:num_classes]).macro_dice - score(stacked[num_classes:]).macro_dice

    rows = []
    for first, second in combinations(matrices, 2):
        joined = np.concatenate([matrices[first], matrices[second]], axis=1)
        same = over_same_classes(difference, joined, occurs=lambda found: occurring(found.reshape(2, num_classes, num_classes)))
        low, high = bootstrap(joined, same, seed=seed, num=resamples)
        is_known = bool(np.isfinite([low, high]).all())
        row = {"of": first, "less": second, "macro_dice": difference(joined.sum(axis=0)), "interval": [low, high] if is_known else None}
        rows.append({**row, "is_settled": is_known and (low > 0 or high < 0)})
    return rows


def remarks(
    results: Sequence[Mapping[str, Any]],
    gaps: Sequence[Mapping[str, Any]],
    *,
    is_same_patient: bool,
    annotator: str | None,
) -> list[str]:
    """What a reader must know before quoting a number."""
    lines = []
    if is_same_patient:
        lines.append(
            "Training and test tiles are of the same patient, from separate blocks of one slide: nothing here speaks of other patients."
        )
    if annotator:
        lines.append(f"The synthetic labels go back to the annotator {annotator!r}.")
    rows = results[0]["scores"]["classes"]
    absent = [row["class"] for row in rows if not row["images_with_class"]]
    if absent:
        lines.append(f"No claim is made on {', '.join(absent)}: the test tiles have no such pixel.")
    few = [f"{row['class']} ({row['images_with_class']})" for row in rows if 0 < row["images_with_class"] < 10]
    if few:
        lines.append(f"Few test tiles show {', '.join(few)}: its score hangs on them.")
    lines.append("Intervals resample tiles as if each were drawn by itself; neighbours are alike, so the true ones are wider.")
    for gap in gaps:
        if not gap["is_settled"]:
            lines.append(
                f"{gap['of']} against {gap['less']}: the interval of the difference holds 0, so these tiles do not tell which is better."
            )
    return lines
