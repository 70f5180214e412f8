"""What a machine does at best, and what is counted of a computation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from .scripts import loaded

machine = loaded("machine.py")


def counted(function):
    with machine.Counted() as found:
        function()
    return dict(found.flop), found.bytes


def test_a_convolution_counts_two_for_each_product_and_in_its_own_format():
    x, weight = torch.zeros(2, 3, 8, 8), torch.zeros(5, 3, 3, 3)
    flop, moved = counted(lambda: F.conv2d(x, weight, padding=1))
    assert flop == {"float32": 2 * 2 * 5 * 8 * 8 * 3 * 9}
    assert moved == 4 * (2 * 3 * 64 + 5 * 3 * 9 + 2 * 5 * 64)
    flop, half = counted(lambda: F.conv2d(x.bfloat16(), weight.bfloat16(), padding=1))
    assert flop == {"bfloat16": 2 * 2 * 5 * 8 * 8 * 3 * 9}
    assert half == moved / 2 + 1.5 * 4 * (2 * 3 * 64 + 5 * 3 * 9)  # converting reads four bytes and writes two


def test_the_backward_pass_of_a_product_counts_twice_the_forward_pass():
    a, b = torch.zeros(4, 6, requires_grad=True), torch.zeros(6, 3, requires_grad=True)
    flop, _ = counted(lambda: (a @ b).sum().backward())
    assert flop == {"float32": 3 * 2 * 4 * 6 * 3}


@pytest.mark.parametrize(
    ("function", "moved"),
    [
        (lambda x: x.view(8, 2).t()[1:], 0),
        (lambda x: torch.empty_like(x), 0),
        (lambda x: x + 1, 2 * 64),
        (lambda x: x.add_(1), 2 * 64),
        (lambda x: torch.add(x, x, out=x), 3 * 64 + 64),
        (lambda x: x[:1] + x[:1], 3 * 16),
        (lambda x: x[:1, :1].expand(4, 4) + x, 4 + 64 + 64),
        (lambda x: torch.cat((x, x)), 4 * 64),
        (lambda x: torch._foreach_mul_([x, x.clone()], 2.0), 2 * 64 + 2 * 2 * 64),
        (lambda x: x.item() if x.numel() == 1 else None, 0),
    ],
)
def test_bytes_are_what_an_operation_reads_and_writes(function, moved):
    x = torch.zeros(4, 4)
    assert counted(lambda: function(x)) == ({}, moved)


def test_rates_are_those_of_work_that_was_done(monkeypatch):
    monkeypatch.setitem(machine._EDGE, "cpu", 64)
    monkeypatch.setitem(machine._COPIED_BYTES, "cpu", 1024)
    ticks = iter(range(10**6))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: float(next(ticks)))
    assert machine.copy_rate(device="cpu") == 2 * 1024  # read and written, in one tick
    assert machine.product_rate("float32", device="cpu") == 4 * 2 * 64**3  # four products in a tick
    assert machine.product_rate("bfloat16", device="cpu") == 4 * 2 * 64**3


def test_threads_are_as_before_when_rates_are_known(monkeypatch):
    monkeypatch.setitem(machine._EDGE, "cpu", 16)
    before = torch.get_num_threads()
    rates = machine.multiply_rates(before)
    assert torch.get_num_threads() == before
    assert set(rates) == {"wall", "cpu", "one_thread"}
    assert min(rates.values()) > 0
