"""The pixel classifier: a multilayer perceptron on a pixel's feature vector (arXiv 2207.02712, section 2.3).

Linear layers; ReLU, batch normalisation and dropout after each but the last. Letters: P pixels, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from hdgan.training.dropout import Dropout

NORM_EPSILON = 1e-5
Norm = Literal["batch", "none"]
Order = Literal["relu-norm", "norm-relu"]


class PixelMlp(nn.Module):
    """Standardised features `[P, C]` to logits `[P, K]`.

    Args:
        num_in: C.
        num_classes: K.
        hidden: widths of the hidden layers; none makes it a linear classifier.
        dropout: share of hidden values dropped in training, one for all hidden layers or one for each.
        norm: batch normalisation of hidden values, or none.
        order: whether ReLU comes before or after it; dropout comes last.

    Raises:
        ValueError: there are not as many shares as hidden layers.
    """

    def __init__(
        self,
        num_in: int,
        num_classes: int,
        *,
        hidden: Sequence[int],
        dropout: float | Sequence[float],
        norm: Norm = "batch",
        order: Order = "relu-norm",
    ) -> None:
        super().__init__()
        widths = (num_in, *hidden)
        shares = (dropout,) * len(hidden) if isinstance(dropout, int | float) else tuple(dropout)
        self.num_in, self.num_classes, self.hidden, self.shares = num_in, num_classes, tuple(hidden), shares
        self.norm, self.order = norm, order
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, (*hidden, num_classes), strict=True))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width, eps=NORM_EPSILON) for width in hidden if norm == "batch")
        self.dropouts = nn.ModuleList(Dropout(share) for _, share in zip(hidden, shares, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[P, K]`."""
        for i, dropout in enumerate(self.dropouts):
            x = self.linears[i](x)
            if not self.norms:
                x = x.relu()
            elif self.order == "relu-norm":
                x = self.norms[i](x.relu())
            else:
                x = self.norms[i](x).relu()
            x = dropout(x)
        return self.linears[-1](x)  # type: ignore[no-any-return]

    @torch.no_grad()
    def affine_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weights `[out, in]` and biases `[out]` float64 of an equal network of linear layers with nothing but ReLU between them.

        Equal as it predicts: normalisation by the running statistics, in the layer before it or after it, and no dropout.
        """
        scale, shift = torch.ones(self.num_in, dtype=torch.float64), None
        layers = []
        for i, linear in enumerate(self.linears):
            weight, bias = (value.double() for value in linear.parameters())
            weight, bias = weight * scale.to(weight.device), bias if shift is None else bias + weight @ shift
            scale, shift = torch.ones(len(weight), dtype=torch.float64, device=weight.device), None
            if i < len(self.norms):
                held = {name: value.double() for name, value in self.norms[i].state_dict().items()}
                gain = held["weight"] / (held["running_var"] + NORM_EPSILON).sqrt()
                offset = held["bias"] - held["running_mean"] * gain
                if self.order == "norm-relu":
                    weight, bias = weight * gain.unsqueeze(1), bias * gain + offset
                else:
                    scale, shift = gain, offset
            layers.append((weight, bias))
        return layers

    @torch.no_grad()
    def shift_logits(self, by: Tensor) -> None:
        """Adds `by [K]` to every pixel's logits from now on."""
        dict(self.named_parameters())[f"linears.{len(self.hidden)}.bias"].add_(by)

    @torch.no_grad()
    def behind(self, projection: Tensor) -> PixelMlp:
        """A classifier of features `[P, C]` that gives what this one gives for `features @ projection`, a matrix `[C, num_in]`."""
        whole = PixelMlp(len(projection), self.num_classes, hidden=self.hidden, dropout=self.shares, norm=self.norm, order=self.order)
        state = self.state_dict()
        state["linears.0.weight"] = (state["linears.0.weight"].double() @ projection.double().t()).float()
        whole.load_state_dict(state)
        return whole.train(self.training)
