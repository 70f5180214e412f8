"""The geometric part of the augmentation: images resampled at the places that a matrix sends their pixels to.

As published: padded by reflection, doubled (sym6), sampled bilinearly, halved (sym6). That takes, at once for a batch,
about ten times the memory of the images at 4096 px and more. The result in pieces is the same: each image by itself,
output piece by output piece, each from the part of the image that it needs. The operation is linear in the image, so
its gradient is its adjoint, which is computed in pieces too, and nothing is kept for it but the matrix.
Letters: N images, C channels, H and W px; matrices act on centred pixel coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.generator.ops import fir
from hdgan.generator.ops.warp import warp

# Symlet (Daubechies 1992, table 6.3): the low-pass of sym6.
_SYM6 = (
    (0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466, 0.787641141030194)
    + (0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148)
)  # fmt: skip
_MARGIN_PX = len(_SYM6) // 4  # what the low-pass reaches beyond the image, each side
_REACH_PX = 2 * _MARGIN_PX  # of the original around a sampled place: low-pass and bilinear neighbour
_PIECE_PX = 512
_AT_ONCE_BYTES = 64 * 2**20
"""Batches of images up to this size are resampled at once: at 64 px pieces would be all overhead."""


def warped(x: Tensor, matrix: Tensor) -> Tensor:
    """`x [N, C, H, W]` at the places `matrix [N, 3, 3]` sends each pixel to; differentiable to any order in `x`."""
    if x.numel() * x.element_size() <= _AT_ONCE_BYTES:
        return warped_at_once(x, matrix)
    return warped_in_pieces(x, matrix, piece_px=_PIECE_PX)


def warped_at_once(x: Tensor, matrix: Tensor) -> Tensor:
    """The reference: the whole batch, padded by what the corners of its worst image need.

    As published, the padding leaves out the margin around the corners, where images that shrink differ by about 1e-4
    from a result with more of it; the one in pieces is not short there.
    """
    _, _, H, W = x.shape
    half_x, half_y = (W - 1) / 2, (H - 1) / 2
    corners = matrix.new_tensor([[-half_x, half_x, half_x, -half_x], [-half_y, -half_y, half_y, half_y], [1.0] * 4])
    reached = (matrix @ corners)[:, :2]  # [N, 2, 4]
    overhang = torch.cat((-reached, reached), dim=1).amax(dim=(0, 2)) - matrix.new_tensor([half_x, half_y] * 2)
    limit = matrix.new_tensor([W - 1, H - 1] * 2)
    left, top, right, bottom = (overhang + _REACH_PX).clamp(min=0).minimum(limit).ceil().int().tolist()
    x = F.pad(x, (left, right, top, bottom), mode="reflect")
    middle_xy = matrix.new_tensor([(right - left) / 2, (bottom - top) / 2])
    places = _places(matrix, _Piece(0, H, 0, W), height=H, width=W)
    return _halved(_sampled(x, places - middle_xy.view(1, 2, 1, 1)))


def warped_in_pieces(x: Tensor, matrix: Tensor, *, piece_px: int) -> Tensor:
    """`warped_at_once` in pieces of `piece_px`: the memory of a few pieces, whatever the size of the images."""
    return _InPieces.apply(x, matrix, piece_px)  # type: ignore[no-any-return, no-untyped-call]


@dataclass(frozen=True)
class _Piece:
    """Rows and columns of the result, px."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def _pieces(height: int, width: int, piece_px: int) -> Iterator[_Piece]:
    for top in range(0, height, piece_px):
        for left in range(0, width, piece_px):
            yield _Piece(top, min(top + piece_px, height), left, min(left + piece_px, width))


def _places(matrix: Tensor, piece: _Piece, *, height: int, width: int) -> Tensor:
    """`[N, 2, h, w]`: centred pixel (x, y) of the original for each place of a piece at twice the size, with its margin."""
    # sym6 is not symmetric: doubling shifts the image by half of its own pixels; undone here and by the halving.
    columns = torch.arange(2 * piece.left, 2 * piece.right + 4 * _MARGIN_PX).to(matrix) / 2 - (width / 2 + _MARGIN_PX - 0.5)
    rows = torch.arange(2 * piece.top, 2 * piece.bottom + 4 * _MARGIN_PX).to(matrix) / 2 - (height / 2 + _MARGIN_PX - 0.5)
    place_y, place_x = torch.meshgrid(rows, columns, indexing="ij")
    places = torch.stack((place_x, place_y, torch.ones_like(place_x)), dim=0).reshape(3, -1)
    return (matrix[:, :2] @ places).reshape(len(matrix), 2, len(rows), len(columns))


def _sampled(x: Tensor, places: Tensor) -> Tensor:
    """`x` doubled and sampled at `places [N, 2, h, w]`, in pixels from the middle of `x`."""
    x = fir.upsample2(x, _sym6(x))
    extent = torch.tensor([x.shape[3], x.shape[2]], device=x.device).view(1, 2, 1, 1)
    grid = (places * 2 - 0.5) * 2 / extent
    return warp(x, grid.permute(0, 2, 3, 1).to(x.dtype))


def _halved(x: Tensor) -> Tensor:
    """Every second pixel after the low-pass, without the margin."""
    taps = _sym6(x)
    crop = -2 * _MARGIN_PX
    return fir.downsample2(x, taps.flip(0), padding=(crop + (len(taps) - 1) // 2, crop + (len(taps) - 2) // 2))


def _sym6(like: Tensor) -> Tensor:
    taps = torch.tensor(_SYM6, dtype=torch.float64)
    return (taps / taps.sum()).to(device=like.device, dtype=like.dtype)


@dataclass(frozen=True)
class _Part:
    """What one piece of the result needs of an image `[1, C, H, W]`: rows and columns, reflected at the border.

    Beyond one reflection there is nothing (zeros), as in the reference.
    """

    rows: Tensor
    columns: Tensor
    places: Tensor
    """`[1, 2, h, w]`: where the piece is sampled, in pixels from the middle of the part."""

    @classmethod
    def of(cls, piece: _Piece, matrix: Tensor, *, height: int, width: int) -> _Part:
        places = _places(matrix, piece, height=height, width=width)
        middles, indices = [], []
        for axis, size in ((0, width), (1, height)):
            pixel = places[0, axis] + (size - 1) / 2
            lowest, highest = -(size - 1), 2 * (size - 1)
            first = min(max(int(pixel.min().floor()) - _REACH_PX, lowest), highest)
            last = min(max(int(pixel.max().ceil()) + _REACH_PX, lowest), highest)
            index = torch.arange(first, last + 1, device=places.device)
            indices.append(torch.where(index < 0, -index, torch.where(index >= size, 2 * (size - 1) - index, index)))
            middles.append((first + last) / 2 - (size - 1) / 2)
        middle_xy = places.new_tensor(middles).view(1, 2, 1, 1)
        return cls(rows=indices[1], columns=indices[0], places=places - middle_xy)

    def taken_from(self, x: Tensor) -> Tensor:
        return x.index_select(2, self.rows).index_select(3, self.columns)

    def given_back(self, gradient: Tensor, total: Tensor) -> None:
        """Adds the part's gradient to that of the image: the adjoint of `taken_from`."""
        strip = gradient.new_zeros(*gradient.shape[:3], total.shape[3]).index_add_(3, self.columns, gradient)
        total.index_add_(2, self.rows, strip)


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, piece_px: int) -> Tensor:
        ctx.save_for_backward(matrix)
        ctx.piece_px = piece_px
        result = torch.empty_like(x)
        for n in range(len(x)):
            for piece in _pieces(x.shape[2], x.shape[3], piece_px):
                part = _Part.of(piece, matrix[n : n + 1], height=x.shape[2], width=x.shape[3])
                result[n : n + 1, :, *piece.window] = _halved(_sampled(part.taken_from(x[n : n + 1]), part.places))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (matrix,) = ctx.saved_tensors
        return _AdjointInPieces.apply(gradients[0], matrix, ctx.piece_px), None, None  # type: ignore[no-untyped-call]


class _AdjointInPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, matrix: Tensor, piece_px: int) -> Tensor:
        ctx.save_for_backward(matrix)
        ctx.piece_px = piece_px
        total = torch.zeros_like(y)
        for n in range(len(y)):
            for piece in _pieces(y.shape[2], y.shape[3], piece_px):
                part = _Part.of(piece, matrix[n : n + 1], height=y.shape[2], width=y.shape[3])
                # Linear: the gradient at any image is the adjoint, so it is taken at this one, of zeros.
                anywhere = y.new_zeros(1, y.shape[1], len(part.rows), len(part.columns)).requires_grad_()
                with torch.enable_grad():
                    drawn = _halved(_sampled(anywhere, part.places))
                part.given_back(torch.autograd.grad(drawn, anywhere, y[n : n + 1, :, *piece.window])[0], total[n : n + 1])
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (matrix,) = ctx.saved_tensors
        return _InPieces.apply(gradients[0], matrix, ctx.piece_px), None, None  # type: ignore[no-untyped-call]
