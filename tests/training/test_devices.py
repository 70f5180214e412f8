from __future__ import annotations

import pytest
import torch

from hdgan.errors import BadConfig
from hdgan.training.devices import chosen_device, convolutions_in_float32, whole_float32


@pytest.mark.parametrize(
    ("name", "has_gpu", "found"), [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")]
)
def test_auto_is_a_gpu_where_there_is_one(name, has_gpu, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert chosen_device(name, setting="run.device") == found


def test_a_gpu_that_is_not_there_is_refused_by_the_setting_that_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadConfig, match=r"run\.device: cuda was asked for and there is none"):
        chosen_device("cuda", setting="run.device")


KINDS = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)


def flags():
    """What torch was told, by its newer names and its older ones; None where those are refused."""
    older = []
    for ask in (lambda: torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision, lambda: torch.backends.cuda.matmul.allow_tf32):
        try:
            older.append(ask())
        except RuntimeError:
            older.append(None)
    return [kind.fp32_precision for kind in KINDS], older


def tell_newer(*precisions):
    for kind, precision in zip(KINDS, precisions, strict=True):
        kind.fp32_precision = precision


@pytest.fixture
def _as_it_was():
    before = flags()
    yield
    torch.backends.cudnn.allow_tf32 = before[1][0]
    torch.set_float32_matmul_precision(before[1][1])
    tell_newer(*before[0])
    assert flags() == before


BEFORE = {
    "torch's own": lambda: None,
    "forbidden by the older names": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "allowed to products by the older names": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "less than that for products": lambda: torch.set_float32_matmul_precision("medium"),
    "forbidden by the newer names": lambda: tell_newer("ieee", "ieee", "ieee", "ieee"),
    "allowed by the newer names": lambda: tell_newer("tf32", "tf32", "tf32", "tf32"),
}


@pytest.mark.usefixtures("_as_it_was")
@pytest.mark.parametrize("before", BEFORE)
def test_a_gpu_keeps_all_bits_of_float32_inside_and_does_as_before_afterwards(before):
    BEFORE[before]()
    told = flags()
    with pytest.raises(KeyError), whole_float32():
        assert [kind.fp32_precision for kind in KINDS] == ["ieee"] * 4
        raise KeyError
    assert flags() == told


@pytest.mark.usefixtures("_as_it_was")
@pytest.mark.parametrize("before", BEFORE)
def test_convolutions_may_round_where_they_are_let_and_matrix_products_may_not(before):
    BEFORE[before]()
    told = flags()
    with convolutions_in_float32(is_rounded=True):
        assert [kind.fp32_precision for kind in KINDS] == ["tf32", "tf32", "ieee", "ieee"]
        with whole_float32():
            assert [kind.fp32_precision for kind in KINDS] == ["ieee"] * 4
        assert [kind.fp32_precision for kind in KINDS] == ["tf32", "tf32", "ieee", "ieee"]
    assert flags() == told


@pytest.mark.parametrize("is_rounded", [False, True])
def test_who_asks_torch_by_the_older_names_inside_is_answered(is_rounded):
    """As compilers and `cudnn.flags` do; torch raises where older and newer names disagree."""
    with convolutions_in_float32(is_rounded=is_rounded):
        assert torch.backends.cudnn.allow_tf32 is is_rounded
        assert torch.backends.cuda.matmul.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "highest"
        with torch.backends.cudnn.flags(enabled=True):
            pass
