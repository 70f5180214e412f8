from __future__ import annotations

import os
import runpy
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "tiles"
DATA = os.environ.get("HDGAN_DATA")


@pytest.fixture(scope="module")
def compartments():
    return runpy.run_path(str(SCRIPTS / "compartments.py"), run_name="compartments")


def test_auc_is_the_chance_that_a_positive_scores_higher(compartments):
    rng = np.random.default_rng(0)
    scores, is_positive = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[is_positive] for n in scores[~is_positive]]
    assert compartments["auc"](scores, is_positive) == pytest.approx(np.mean(pairs))
    assert np.isnan(compartments["auc"](scores, np.zeros(40, bool)))


def test_the_share_kept_is_that_of_the_better_half(compartments):
    assert compartments["share_kept"](np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 2.0, 1.0, 0.0])) == 0.75


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
def test_the_score_finds_glomeruli_better_than_tissue_does_where_it_was_not_tuned(compartments):
    found = compartments["measure"](Path(DATA) / "kidney" / "slides", edge_um=256)
    is_lower = ~found.is_upper
    is_positive = found.glomerulus[is_lower] >= compartments["POSITIVE"]
    assert compartments["auc"](found.compartment[is_lower], is_positive) > 0.7
    assert compartments["auc"](found.tissue[is_lower], is_positive) < 0.6
