from __future__ import annotations

import subprocess
import sys

import pytest

MEASURE = """
import resource, sys
import numpy as np
from hdgan.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
np.ones(2**21)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(2**21)  # 16 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    return int(subprocess.run([sys.executable, "-c", MEASURE, way], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can be told")
def test_a_process_that_keeps_its_memory_is_not_asked_for_it_again():
    assert faults("keep") < faults("give back") / 10
