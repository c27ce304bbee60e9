"""Step times with known truth, to evaluate the statistics here and in benchmarks/stats.py.

All have a mean of about 1 second per step.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ar1(draws: int, steps: int, phi: float, noise: float, rng: np.random.Generator) -> Floats:
    """Stationary AR(1) series with mean 1 and standard deviation `noise` [draws, steps]."""
    series = rng.standard_normal((steps, draws))
    series[1:] *= math.sqrt(1 - phi * phi)
    for step in range(1, steps):
        series[step] += phi * series[step - 1]
    return 1 + noise * series.T


def lognormal(draws: int, steps: int, phi: float, noise: float, rng: np.random.Generator) -> Floats:
    """The same with lognormal marginals and mean 1: few steps are much slower, none much faster."""
    spread = math.sqrt(math.log(1 + noise * noise))
    normal = ar1(draws, steps, phi, 1.0, rng) - 1
    return np.exp(spread * normal - spread * spread / 2)


def slow_wave(draws: int, steps: int, phi: float, noise: float, rng: np.random.Generator) -> Floats:
    """White noise on an AR(1) wave of half its size: not AR(1), and its first autocorrelation hides the wave."""
    return ar1(draws, steps, phi, noise / 2, rng) + noise * rng.standard_normal((draws, steps))


def pauses(draws: int, steps: int, phi: float, noise: float, rng: np.random.Generator) -> Floats:
    """AR(1) with one step in 50 taking twice as long; mean 1."""
    return (ar1(draws, steps, phi, noise, rng) + (rng.random((draws, steps)) < 0.02)) / 1.02


def two_states(steps: int, dwell: int, gap: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """AR(1) steps (phi 0.3, 1 %) of a machine with two clock states `gap` apart, equally often, mean 1; and the states.

    dwell: mean number of steps in a state.
    """
    state = (np.cumsum(rng.random(steps) < 1 / dwell) + rng.integers(2)) % 2
    return ar1(1, steps, 0.3, 0.01, rng)[0] + gap * (state - 0.5), state.astype(float)
