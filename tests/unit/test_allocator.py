"""What malloc does with freed memory, told by the pages that the kernel had to give."""

import subprocess
import sys

PROGRAM = """
import resource, sys
import numpy as np
from edgecolor.allocator import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
def step():
    for array in [np.empty(3_000_000, np.uint8) for _ in range(8)]:
        array[::4096] = 1
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_step_finds_the_memory_of_the_one_before_it() -> None:
    assert faults("kept") < 0.1 * faults("default")
