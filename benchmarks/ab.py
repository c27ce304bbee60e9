"""How often the 95 % interval of `gbench ab` holds the true ratio, on simulated sessions that stop when it is narrow.

    python benchmarks/ab.py [--draws 4000]

Some minutes on one core. The table of docs/ab.md is this output.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from command import at_least_one, parser_of, run

from drawn_sessions import (
    Drift,
    cold_start,
    covered,
    line,
    naive_session,
    no_drift,
    one_step,
    session,
    short_wave,
    warming_up,
    wave,
)
from gbench.experiments.block_ratio import BlockRatio
from gbench.experiments.session import Order

UNTIL_CI = 0.01
MOST_BLOCKS = 60
RUN_SDS = (0.001, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03)
CASES: tuple[tuple[str, float, Drift], ...] = (
    ("independent runs", 0.0, no_drift),
    ("drift of 0.5 % a run", 0.0, line),
    ("the same, phi 0.5", 0.5, line),
    ("the same, phi 0.9", 0.9, line),
    ("the same, phi -0.3", -0.3, line),
    ("warming up by 3 %, phi 0.5", 0.5, warming_up),
    ("warming up by 10 %, phi 0.5", 0.5, cold_start),
    ("a wave of 24 runs, phi 0.5", 0.5, wave),
    ("a wave of 4 runs, phi 0.5", 0.5, short_wave),
    ("one step of 2 %, phi 0.5", 0.5, one_step),
)
OLD_ORDER: tuple[tuple[str, float, Drift], ...] = (
    ("warming up by 10 %, phi 0.5, order A B B A", 0.5, cold_start),
    ("a wave of 4 runs, phi 0.5, order A B B A", 0.5, short_wave),
)


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--draws", type=at_least_one, default=4000, help="sessions a cell")
    draws = parser.parse_args().draws
    print("| runs vary by | " + " | ".join(f"{100 * sd:g} %" for sd in RUN_SDS) + " |")
    print("|" + "---|" * (len(RUN_SDS) + 1))
    tables: tuple[tuple[Order, tuple[tuple[str, float, Drift], ...]], ...] = (
        ("Thue-Morse", CASES),
        ("ABBA", OLD_ORDER),
    )
    for order, cases in tables:
        for title, phi, drift in cases:
            draw = partial(session, phi=phi, drift=drift, until_ci=UNTIL_CI, most_blocks=MOST_BLOCKS, order=order)
            print(f"| {title} | " + " | ".join(cell(partial(draw, sd), draws) for sd in RUN_SDS) + " |", flush=True)
    cells = [cell(partial(naive_session, sd, UNTIL_CI, MOST_BLOCKS), draws) for sd in RUN_SDS]
    print("| independent runs, Student's 95 % from three blocks on | " + " | ".join(cells) + " |")


def cell(one: Callable[..., BlockRatio], draws: int) -> str:
    """Share of sessions that held the truth, and their mean number of blocks."""
    rng = np.random.default_rng(0)
    found = [one(rng=rng) for _ in range(draws)]
    share, blocks = np.mean([covered(ratio) for ratio in found]), np.mean([ratio.blocks for ratio in found])
    return f"{100 * share:.1f} ({blocks:.1f})"


if __name__ == "__main__":
    run(main)
