"""Dice + cross-entropy that leaves ignored pixels out. Letters: N images, C classes, H and W px."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hdgan.labels import IGNORE


def dice_ce(logits_NCHW: Tensor, labels_NHW: Tensor, *, dice_weight: float) -> Tensor:
    """Cross-entropy plus `dice_weight` times soft Dice loss, a scalar; pixels labelled 255 count in neither.

    Soft Dice (Milletari et al. 2016, V-Net, eq. 3, with plain instead of squared sums) is pooled over the batch for each class and averaged
    over the classes that occur in its labels: an absent class has no overlap to gain. 0 where every pixel is ignored.
    """
    is_known = labels_NHW != IGNORE
    target = torch.where(is_known, labels_NHW, 0).long()
    log_p = F.log_softmax(logits_NCHW, dim=1)
    weight = is_known.to(log_p.dtype)
    picked = -log_p.gather(1, target[:, None])[:, 0] * weight
    cross_entropy = picked.sum() / weight.sum().clamp_min(1)
    if dice_weight == 0:
        return cross_entropy
    return cross_entropy + dice_weight * _soft_dice_loss(log_p.exp(), target, weight)


def _soft_dice_loss(p_NCHW: Tensor, target_NHW: Tensor, weight_NHW: Tensor) -> Tensor:
    hot = F.one_hot(target_NHW, p_NCHW.shape[1]).movedim(-1, 1).to(p_NCHW.dtype) * weight_NHW[:, None]
    overlap = (p_NCHW * hot).sum((0, 2, 3))
    sizes = (p_NCHW * weight_NHW[:, None]).sum((0, 2, 3)) + hot.sum((0, 2, 3))
    occurs = (hot.sum((0, 2, 3)) > 0).to(p_NCHW.dtype)
    dice = (2 * overlap + 1) / (sizes + 1)
    return ((1 - dice) * occurs).sum() / occurs.sum().clamp_min(1)
