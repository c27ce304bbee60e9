"""How far the changes of level on a history's page can be trusted, and what such a page costs.

    python benchmarks/trend.py [--draws 1000] [--records 1000 10000 100000]

Simulated histories with known truth, then pages of drawn histories in SQLite files: CPU seconds and bytes. The tables
of docs/reports.md are this output.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from command import at_least_one, parser_of, run

from cndb import fill
from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import embedded
from gbench.measure.trend import levels
from gbench.reports.history_page import write_history
from simulated import ar1

NOISE = 0.01  # of a run, between runs
LENGTHS = (10, 20, 30, 60, 120, 365)


def changes(draws: int) -> None:
    """Share of histories judged right, by their length."""
    print(f"Share of {draws} drawn histories judged right, in %; noise between runs {NOISE:.0%}\n")
    print("| history | right is |" + "".join(f" {runs} runs |" for runs in LENGTHS))
    print("|---|---|" + "---|" * len(LENGTHS))
    rng = np.random.default_rng(0)

    def show(name: str, phi: float, share: float, last: int | None, odd: float = 1.0, of: int = 3) -> None:
        cells = []
        for runs in LENGTHS:
            start = runs // 2 if last is None else runs - last
            right = 0
            for history in ar1(draws, runs, phi, NOISE, rng):
                history[start:] *= 1 - share
                history[runs // of if of else -1] *= odd
                found = [level.start for level in levels(history) if level.confirmed][1:]
                right += not found if share == 0 else len(found) == 1 and abs(found[0] - start) <= 1
            cells.append(right / draws)
        expected = "no change" if share == 0 else "one change, +- 1 run"
        print(f"| {name} | {expected} |" + "".join(f" {100 * cell:.1f} |" for cell in cells), flush=True)

    for phi in (0.0, 0.3, 0.6):
        show(f"steady, autocorrelation {phi}", phi, 0.0, None)
    show("steady, one run 30 % slower", 0.0, 0.0, None, odd=0.7)
    show("steady, the last run 10 % slower", 0.0, 0.0, None, odd=0.9, of=0)
    for share in (0.03, 0.05, 0.10):
        show(f"{share:.0%} slower from the middle on", 0.0, share, None)
    show("5 % slower from the middle on, autocorrelation 0.3", 0.3, 0.05, None)
    for last in (3, 5):
        show(f"5 % slower in the last {last} runs", 0.0, 0.05, last)


def pages(counts: list[int]) -> None:
    """CPU seconds, SQLite's included, and size of a page."""
    print("\n| records | configurations | CPU seconds | kB |\n|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            config = embedded(Path(folder))
            fill(connect_or_create(config), count)
            start = time.process_time()
            page = write_history(config, Path(folder) / "history.html", None, None).read_text(encoding="utf-8")
            seconds = time.process_time() - start
        configurations = page.partition("History: ")[2].partition(" ")[0]
        print(f"| {count:,} | {configurations} | {seconds:.1f} | {len(page.encode()) / 1e3:,.0f} |", flush=True)


def main() -> None:
    """Both."""
    parser = parser_of(__doc__)
    parser.add_argument("--draws", type=at_least_one, default=1000)
    parser.add_argument("--records", type=at_least_one, nargs="*", default=[1_000, 10_000, 100_000])
    chosen = parser.parse_args()
    changes(chosen.draws)
    pages(chosen.records)


if __name__ == "__main__":
    run(main)
