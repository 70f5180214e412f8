from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from hdgan.generator import augment_warp
from hdgan.generator.augment_draws import RandomChance, draw
from hdgan.generator.augment_sets import SETS
from hdgan.generator.augment_warp import warped, warped_at_once, warped_in_pieces


def matrices(num, *, size, seed, operations=SETS["bg"]):
    found = draw(RandomChance(num, torch.Generator().manual_seed(seed)), operations=operations, p=1.0, height=size, width=size).geometry
    assert found is not None
    return found


@pytest.mark.parametrize("piece_px", [5, 16, 64])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_equal_the_whole_whatever_their_size(piece_px, seed, monkeypatch):
    x = torch.rand(3, 2, 24, 24, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
    matrix = matrices(3, size=24, seed=seed).double()
    torch.testing.assert_close(warped_in_pieces(x, matrix, piece_px=piece_px), warped_at_once(x, matrix), rtol=0, atol=1e-3)
    monkeypatch.setattr(augment_warp, "_REACH_PX", 23)  # with enough around the corners nothing is left of the difference
    torch.testing.assert_close(warped_in_pieces(x, matrix, piece_px=piece_px), warped_at_once(x, matrix), rtol=0, atol=1e-9)


def test_an_image_shrunk_until_it_is_reflected_and_ends_is_alike_too():
    """Beyond one reflection there is nothing, in both ways."""
    x = torch.rand(1, 3, 16, 16, dtype=torch.double, generator=torch.Generator().manual_seed(0)) + 1
    matrix = torch.diag(torch.tensor([5.0, 5.0, 1.0])).double()[None]
    whole = warped_at_once(x, matrix)
    assert whole.abs().min() < 1e-6 < whole.abs().max()
    torch.testing.assert_close(warped_in_pieces(x, matrix, piece_px=7), whole, rtol=0, atol=1e-9)


def test_gradients_of_both_orders_equal_those_of_the_whole():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 1, 12, 12, dtype=torch.double, generator=generator).requires_grad_()
    weight = torch.rand(2, 1, 12, 12, dtype=torch.double, generator=generator)
    matrix = matrices(2, size=12, seed=5).double()
    results = []
    for way in (warped_at_once, lambda v, m: warped_in_pieces(v, m, piece_px=5)):
        (first,) = torch.autograd.grad((way(x, matrix).pow(3) * weight).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        results.append((first.detach(), second))
    for whole, pieces in zip(*results, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-9, atol=1e-9)


def test_the_adjoint_in_pieces_is_the_adjoint():
    x = torch.rand(1, 1, 5, 5, dtype=torch.double, generator=torch.Generator().manual_seed(2)).requires_grad_()
    matrix = matrices(1, size=5, seed=9).double()
    assert torch.autograd.gradcheck(lambda v: warped_in_pieces(v, matrix, piece_px=3), x)
    assert torch.autograd.gradgradcheck(lambda v: warped_in_pieces(v, matrix, piece_px=3).tanh(), x)


def test_large_batches_go_in_pieces_and_small_ones_at_once(monkeypatch):
    ways = []
    monkeypatch.setattr(augment_warp, "warped_at_once", lambda *_: ways.append("whole"))
    monkeypatch.setattr(augment_warp, "warped_in_pieces", lambda *_, piece_px: ways.append(piece_px))
    matrix = torch.eye(3)[None]
    warped(torch.zeros(1, 3, 64, 64), matrix)
    warped(torch.zeros(1, 3, 1, 1).expand(1, 3, 4096, 4096), matrix)
    assert ways == ["whole", 512]


MEASURE = """
import re, sys, torch
from hdgan.generator import augment_warp
torch.set_num_threads(1)
angle = torch.tensor(0.7)
matrix = torch.tensor([[angle.cos(), -angle.sin(), 9.0], [angle.sin(), angle.cos(), 5.0], [0.0, 0.0, 1.0]])[None]
def peak():  # ru_maxrss would begin at the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
def once(size):
    x = torch.rand(1, 3, size, size).requires_grad_()
    y = augment_warp.warped_at_once(x, matrix) if sys.argv[1] == "whole" else augment_warp.warped_in_pieces(x, matrix, piece_px=96)
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
once(64)
before = peak()
once(384)
print(peak() - before)
"""


def kibibytes(way: str) -> int:
    return int(subprocess.run([sys.executable, "-c", MEASURE, way], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_pieces_need_a_fraction_of_the_memory():
    assert kibibytes("pieces") < kibibytes("whole") / 3
