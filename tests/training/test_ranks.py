from __future__ import annotations

import pytest

from hdgan.errors import BadConfig
from hdgan.training.ranks import Rank, rank_of, refuse_company

WHOLE = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}


def test_a_process_without_the_variables_is_alone():
    assert rank_of({}) == Rank(0, 1, 0)
    assert rank_of({"LOCAL_RANK": "0"}).is_first


def test_the_variables_of_torchrun_tell_the_rank():
    assert rank_of(WHOLE) == Rank(number=3, world=4, local=1)
    assert not rank_of(WHOLE).is_first


@pytest.mark.parametrize("missing", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_a_variable_that_is_missing_is_named(missing):
    with pytest.raises(BadConfig, match=rf"but not {missing}\b"):
        rank_of({name: value for name, value in WHOLE.items() if name != missing})


@pytest.mark.parametrize("wrong", [{"RANK": "4"}, {"RANK": "-1"}, {"LOCAL_RANK": "4"}, {"WORLD_SIZE": "0"}, {"RANK": "one"}])
def test_an_impossible_rank_is_refused(wrong):
    with pytest.raises(BadConfig, match="start with torchrun, or unset them"):
        rank_of(WHOLE | wrong)


def test_what_cannot_be_shared_is_refused_to_several_processes(monkeypatch):
    refuse_company("tiles")
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadConfig, match="tiles: started as 4 processes; only `hdgan train` shares its work"):
        refuse_company("tiles")
