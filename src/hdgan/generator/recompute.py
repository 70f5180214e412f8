"""Trading time for memory: blocks that keep their inputs only and are computed again for the gradient.

At 4096 px one image's activations take gigabytes (arXiv 1604.06174). The result is the same to the last bit: random
noise inside a block is drawn again from the same state.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def run_block(block: nn.Module, *inputs: Any, is_kept: bool, **named: Any) -> Any:
    """What `block` gives; unless `is_kept`, nothing inside it is kept for the gradient."""
    if is_kept or not torch.is_grad_enabled():
        return block(*inputs, **named)
    return checkpoint(block, *inputs, use_reentrant=False, **named)
