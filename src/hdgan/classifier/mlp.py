"""The pixel classifier: a multilayer perceptron on a pixel's feature vector (arXiv 2207.02712, section 2.3).

Three linear layers; ReLU, batch normalisation and dropout after each of the first two. Letters: P pixels, C channels,
K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hdgan.training.dropout import Dropout

NORM_EPSILON = 1e-5


class PixelMlp(nn.Module):
    """Standardised features `[P, C]` to logits `[P, K]`."""

    def __init__(self, num_in: int, num_classes: int, *, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        widths = (num_in, *hidden)
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, (*hidden, num_classes), strict=True))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width, eps=NORM_EPSILON) for width in hidden)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[P, K]`."""
        for linear, norm in zip(self.linears, self.norms, strict=False):
            x = self.dropout(norm(linear(x).relu()))
        return self.linears[-1](x)  # type: ignore[no-any-return]
