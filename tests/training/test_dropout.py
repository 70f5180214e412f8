from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hdgan.training.dropout import Dropout, with_our_dropout


@given(p=st.floats(0, 0.95), num=st.integers(1, 4000), seed=st.integers(0, 2**32))
def test_the_share_set_to_0_is_p_and_the_rest_keeps_the_mean(p, num, seed):
    torch.manual_seed(seed)
    found = Dropout(p)(torch.ones(num, 3))
    kept = found[found != 0]
    assert found.shape == (num, 3)
    assert torch.all((kept - 1 / (1 - p)).abs() < 1e-3 / (1 - p))
    spread = (p * (1 - p) / (3 * num)) ** 0.5
    assert abs(float((found == 0).float().mean()) - p) < 6 * spread + 3 / num


def test_neighbouring_values_and_calls_are_dropped_independently():
    torch.manual_seed(0)
    layer = Dropout(0.5)
    first, second = (layer(torch.ones(400_000)) != 0 for _ in range(2))
    for lag in (1, 2, 3, 4, 64):
        assert abs(float((first[lag:] == first[:-lag]).float().mean()) - 0.5) < 0.005
    assert abs(float((first == second).float().mean()) - 0.5) < 0.005


def test_torchs_random_state_decides_the_mask():
    layer, x = Dropout(0.3), torch.ones(64, 64)
    torch.manual_seed(7)
    first, other = layer(x), layer(x)
    torch.manual_seed(7)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, other)


def test_gradients_pass_where_values_were_kept_and_at_the_same_gain():
    x = torch.randn(50, 40, requires_grad=True)
    found = Dropout(0.4)(x)
    found.sum().backward()
    assert torch.allclose(x.grad * x, found)


def test_nothing_is_dropped_in_evaluation_nor_at_0():
    x = torch.randn(8, 8)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    with pytest.raises(ValueError, match="not a share below 1"):
        Dropout(1.0)


def test_every_dropout_of_a_module_is_replaced_and_nothing_else():
    before = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Sequential(nn.ReLU(), nn.Dropout(0.1)), nn.Dropout2d(0.3))
    after = with_our_dropout(before)
    assert after is before
    assert [type(part) for part in after.modules() if isinstance(part, (Dropout, nn.Dropout, nn.Dropout2d))] == [
        Dropout,
        Dropout,
        nn.Dropout2d,
    ]
    assert [part.p for part in after.modules() if isinstance(part, Dropout)] == [0.2, 0.1]
