"""How often the verdict of `gbench converge --check` is right, on simulated runs; the tables of docs/convergence.md.

    python benchmarks/convergence.py [--draws 1000]

About eight minutes on one core. A draw is a new reference and new runs held against it, both about the published
run's curves. Nothing is known of how far runs of full size lie apart: spreads and effects are those of the scaled-down
runs in convergence_effects.yaml, which convergence_effects.py trains.
"""

from __future__ import annotations

import math
from collections import Counter

from command import at_least_one, parser_of, run

from gbench.convergence.contrasts import CONTRASTS
from gbench.convergence.judge import Verdict
from simulated_runs import METRICS, PRINTED, Case, Simulator, build, contrast_of, spreads

RECIPES = {
    "true reproduction": "reference",
    "lr doubled": "lr_doubled",
    "lambda_L1 50": "lambda_L1_50",
    "D never trained": "D_not_trained",
}
PLAIN = (Case(), Case(seeds=5), Case(own=5), Case(own=5, seeds=5), Case(lines=PRINTED))
OTHER_SPREADS = tuple(
    Case(own=own, seeds=seeds, spread=spread) for own, seeds in ((0, 1), (5, 5)) for spread in (0.5, 1.5)
)


def found_by(verdict: Verdict) -> set[str]:
    """The kinds of comparison that called a run different."""
    kinds = {"bands"} if verdict.departures else set()
    for one in verdict.comparisons:
        if not one.inside:
            last = " of epoch " in one.name
            kinds.add("last epoch" if last else "quality" if one.name in METRICS else "contrasts")
    return kinds


def shifts(simulator: Simulator) -> None:
    """Print what was measured: between-run spreads, and what each variant shifts."""
    counts = {variant: len(runs) for variant, runs in simulator.measured.items()}
    print(f"Measured on scaled-down runs {counts}\n")
    print("| | between runs | " + " | ".join(name for name in RECIPES if name != "true reproduction") + " |")
    print("|---" * (1 + len(RECIPES)) + "|")
    named = {contrast.name: contrast for contrast in CONTRASTS}
    for name, spread in spreads(simulator).items():
        cells = []
        for variant in list(RECIPES.values())[1:]:
            changed, base = (simulator.table(one).mean(axis=0) for one in (variant, "reference"))
            if name in named:
                apart = contrast_of(named[name], changed) - contrast_of(named[name], base)
            elif name in METRICS:
                apart = (changed - base)[METRICS.index(name) - len(METRICS)]
            else:
                continue
            cells.append(f"{math.expm1(apart):+.1%}")
        print(f"| {name} | {spread:.1%} | " + " | ".join(cells or [""] * 3) + " |")
    print()


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--draws", type=at_least_one, default=1000)
    draws = parser.parse_args().draws
    shifts(build())
    kinds = ("bands", "contrasts", "last epoch", "quality")
    print(f"Verdicts in % of {draws} draws, and what found a difference\n")
    print(
        "| run | reference | seeds | losses | spread | reproduced | inconclusive | not reproduced | "
        + " | ".join(kinds)
        + " |"
    )
    print("|---" * (8 + len(kinds)) + "|")
    for title, variant in RECIPES.items():
        for case in (*PLAIN, *(OTHER_SPREADS if variant in ("reference", "lr_doubled") else ())):
            verdicts = list(build(spread=case.spread).verdicts(variant, draws, case))
            words = Counter(one.verdict for one in verdicts)
            reasons = Counter(kind for one in verdicts for kind in found_by(one))
            shares = [
                *(words[word] for word in ("reproduced", "inconclusive", "not reproduced")),
                *(reasons[kind] for kind in kinds),
            ]
            cells = " | ".join(f"{100 * share / draws:.1f}" for share in shares)
            print(f"| {title} | {case.cells} | {cells} |", flush=True)


if __name__ == "__main__":
    run(main)
