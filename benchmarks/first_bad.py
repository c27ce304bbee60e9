"""How often `gbench bisect` names the right commit: simulated histories of 64 commits with one change of 3 %.

    python benchmarks/first_bad.py         # the table in docs/ab.md, in a minute

Blocks are normal around the true ratio. A history ends as a real one does: at 95 %, or after 60 blocks.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict

import numpy as np

from gbench.experiments.first_bad import MOST_BLOCKS, SURE, next_place, probabilities, suspects, told_apart

COMMITS, CHANGE, FIRST, MOST = 64, math.log(0.97), 4, 60
NOISES = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03)


def bisected(noise: float, rng: np.random.Generator) -> tuple[bool | None, int]:
    """Whether the answer is right, None without one; and the number of blocks."""
    culprit = int(rng.integers(COMMITS))
    of_bad = [*rng.normal(CHANGE, noise, FIRST)]
    while len(of_bad) < MOST // 3 and not told_apart(of_bad):
        of_bad.append(rng.normal(CHANGE, noise))
    if not told_apart(of_bad):
        return None, len(of_bad)
    blocks: dict[int, list[float]] = defaultdict(list)
    skipped: set[int] = set()
    while True:
        used = {place: logs for place, logs in blocks.items() if place not in skipped}
        chances = probabilities(COMMITS, of_bad, used)
        answer = suspects(chances, skipped)
        if answer.probability >= SURE:
            return culprit in answer.places, len(of_bad) + sum(map(len, blocks.values()))
        place = next_place(chances, skipped)
        if place is None or len(of_bad) + sum(map(len, blocks.values())) >= MOST:
            return None, MOST
        blocks[place].append(rng.normal(CHANGE if place >= culprit else 0.0, noise))
        if len(blocks[place]) >= MOST_BLOCKS:
            skipped.add(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    histories = parser.parse_args().histories
    print("| blocks vary by | right | wrong | no answer | blocks, mean |\n|---|---|---|---|---|")
    for noise in NOISES:
        rng = np.random.default_rng(1)
        results = [bisected(noise, rng) for _ in range(histories)]
        right, wrong, none = (sum(one is kind for one, _ in results) / histories for kind in (True, False, None))
        mean = sum(count for _, count in results) / histories
        print(f"| {noise:.2%} | {right:.1%} | {wrong:.1%} | {none:.1%} | {mean:.1f} |")


if __name__ == "__main__":
    main()
