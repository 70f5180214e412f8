from __future__ import annotations

import pytest
import torch

from hdgan.errors import BadConfig
from hdgan.training.devices import chosen_device, whole_float32


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


KINDS = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)


@pytest.fixture
def _as_it_was():
    before = [kind.fp32_precision for kind in KINDS]
    yield
    for kind, precision in zip(KINDS, before, strict=True):
        kind.fp32_precision = precision


@pytest.mark.usefixtures("_as_it_was")
@pytest.mark.parametrize("before", ["tf32", "ieee"])
def test_a_gpu_keeps_all_bits_of_float32_inside_and_does_as_before_afterwards(before):
    for kind in KINDS:
        kind.fp32_precision = before
    with pytest.raises(KeyError), whole_float32():
        assert [kind.fp32_precision for kind in KINDS] == ["ieee", "ieee"]
        raise KeyError
    assert [kind.fp32_precision for kind in KINDS] == [before, before]
