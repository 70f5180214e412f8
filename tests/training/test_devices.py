from __future__ import annotations

import pytest
import torch

from hdgan.errors import BadConfig
from hdgan.training.devices import chosen_device


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
