from __future__ import annotations

import pytest
import torch

from hdgan.training.threads import one_thread


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_torch_has_one_thread_inside_and_its_own_again_afterwards_whatever_happened():
    torch.set_num_threads(2)
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == 2


def test_a_function_runs_in_one_thread_each_time_that_it_is_called():
    @one_thread()
    def num_threads() -> int:
        return torch.get_num_threads()

    torch.set_num_threads(2)
    assert (num_threads(), num_threads(), torch.get_num_threads()) == (1, 1, 2)
