"""The dot product of long series."""

from __future__ import annotations

import os
import subprocess
import sys
from math import fsum

import numpy as np
import pytest

from gbench.measure.dot import ONE_THREAD, dot

OF_MANY = """
import numpy as np
from gbench.measure.dot import dot
drawn = np.random.default_rng(0).normal(size=100_000)
print(dot(drawn[1:], drawn[:-1]).hex())
"""


@pytest.mark.parametrize("count", [0, 1, 2, ONE_THREAD - 1, ONE_THREAD])
def test_of_few_elements_it_is_that_of_numpy(count: int) -> None:
    one, other = np.random.default_rng(count).normal(size=(2, count))
    assert dot(one, other) == float(one @ other)


def test_of_many_elements_none_is_left_out() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 2 * ONE_THREAD + 7))
    assert dot(one, other) == pytest.approx(fsum(one * other), rel=1e-12)


def test_it_does_not_depend_on_the_number_of_threads() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", OF_MANY],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1
