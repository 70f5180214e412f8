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


CHILD = "from hdgan.training.memory import most_held; print(most_held())"
PARENT = f"""
import subprocess, sys
import numpy as np
np.ones(2**25)  # 256 MiB
print(subprocess.run([sys.executable, "-c", {CHILD!r}], capture_output=True, text=True, check=True).stdout)
"""


def test_a_process_tells_what_it_held_itself_and_not_what_its_parent_did():
    found = float(subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True).stdout)
    assert 2**22 < found < 2**27


def test_the_most_that_was_held_stays_after_it_was_given_back():
    code = f"import numpy as np; np.ones(2**25); {CHILD}"
    assert float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) > 2**28


TRIM = """
import re
import numpy as np
from hdgan.training.memory import keep_freed_memory, trim
def held():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
assert keep_freed_memory()
blocks = [np.ones(2**20) for _ in range(20)]  # 160 MiB
last = np.ones(2**10)
del blocks
kept = held()
trim()
print(kept - held())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can be told")
def test_what_the_c_library_keeps_is_given_back_when_it_is_told():
    done = subprocess.run([sys.executable, "-c", TRIM], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 150
