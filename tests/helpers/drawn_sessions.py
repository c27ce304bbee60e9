"""Sessions of `gbench ab` on simulated machines with a known true ratio, to evaluate its intervals here and in
benchmarks/ab.py."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import stdtrit

from gbench.experiments.block_ratio import BLOCK, LEAST_BLOCKS, BlockRatio, block_logs, ratio_of_blocks
from gbench.experiments.session import Order, side_of
from simulated import Floats, ar1

RATIO = 1.02  # true ratio of every session
Drift = Callable[[Floats, np.random.Generator], Floats]  # level of the machine, a logarithm, at each run


def no_drift(run: Floats, rng: np.random.Generator) -> Floats:
    return 0 * run


def line(run: Floats, rng: np.random.Generator) -> Floats:
    """A linear drift of 0.5 % per run."""
    return 0.005 * run


def warming_up(run: Floats, rng: np.random.Generator) -> Floats:
    """3 % in total, most of it in the first blocks."""
    return 0.03 * np.exp(-run / 6)


def cold_start(run: Floats, rng: np.random.Generator) -> Floats:
    """10 % in all, as fast: its curve, of which a block cancels no more than the slope, is as much as a quiet machine's
    runs vary."""
    return 0.1 * np.exp(-run / 6)


def wave(run: Floats, rng: np.random.Generator) -> Floats:
    """A wave of 2 % from peak to trough, 24 runs long, with a random phase."""
    return 0.01 * np.sin(2 * np.pi * (run / 24 + rng.random()))


def short_wave(run: Floats, rng: np.random.Generator) -> Floats:
    """The same wave, 4 runs long: as long as A B B A."""
    return 0.01 * np.sin(2 * np.pi * (run / 4 + rng.random()))


def one_step(run: Floats, rng: np.random.Generator) -> Floats:
    """A single step of 2 %."""
    return 0.02 * (run >= rng.integers(1, 40))


def session(
    sd: float,
    phi: float,
    drift: Drift,
    until_ci: float,
    most_blocks: int,
    rng: np.random.Generator,
    order: Order = "Thue-Morse",
) -> BlockRatio:
    """The result of a session.

    Args:
        sd: standard deviation of runs, as a share of 1. phi: autocorrelation of adjacent runs.
    """
    runs = most_blocks * BLOCK
    sides = [side_of(order, run) for run in range(runs)]
    logs = (ar1(1, runs, phi, sd, rng)[0] - 1) + drift(np.arange(runs, dtype=float), rng)
    logs += np.where(np.array(sides) == "B", math.log(RATIO), 0.0)
    blocks = block_logs(np.exp(logs), sides)
    found = ratio_of_blocks(blocks[:LEAST_BLOCKS])
    for count in range(LEAST_BLOCKS + 1, most_blocks + 1):
        if found.reached(until_ci):
            break
        found = ratio_of_blocks(blocks[:count])
    return found


def naive_session(sd: float, until_ci: float, most_blocks: int, rng: np.random.Generator) -> BlockRatio:
    """Independent runs with the naive method: Student's 95 % interval from three blocks on."""
    logs = math.log(RATIO) + sd * rng.standard_normal(most_blocks)  # of a block, which varies as a run does
    for count in range(3, most_blocks + 1):
        mean, error = float(logs[:count].mean()), float(logs[:count].std(ddof=1)) / math.sqrt(count)
        half_width = float(stdtrit(count - 1, 0.975)) * error
        if math.exp(half_width) - 1 <= until_ci:
            break
    return BlockRatio(math.exp(mean), math.exp(mean - half_width), math.exp(mean + half_width), count)


def covered(found: BlockRatio) -> bool:
    assert found.low is not None and found.high is not None
    return found.low <= RATIO <= found.high
