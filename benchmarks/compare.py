"""How far a verdict of `gbench compare` can be trusted, on simulated pairs of sides with known truth.

    python benchmarks/compare.py [--verdicts] [--more] [--figures] [--between] [--counts] [--draws 2000]

Without a choice all parts run, in a few minutes on one core. They print the tables of docs/compare.md, --between one
of docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from command import add_parts, parser_of, run, show_parts
from scipy.special import stdtr

from drawn_pairs import IMAGES, STEPS, Machine, Side, Steps
from gbench.compare import verdict as rule_of_verdict
from gbench.compare.between_runs import interval
from gbench.compare.change import change
from gbench.compare.metrics import METRICS, NORMAL_95, THROUGHPUT, RunFigure
from gbench.compare.verdict import ALPHA, Kind, judge, overall

THRESHOLD = 0.03
LOSSES = (0.0, 0.02, 0.03, 0.05)
FIXED = 0.07

# title, machine of BASE, of NEW, runs of BASE, of NEW, of the history
CASES: list[tuple[str, Machine, Machine, int, int, int]] = []


def case(title: str, base: int, new: int, machine: Machine, history: int = 0, then: Machine | None = None) -> None:
    CASES.append((title, machine, then or machine, base, new, history))


QUIET, USUAL, NOISY = Machine(0.003), Machine(0.01), Machine(0.03)
case("quiet: runs vary by 0.3 %", 5, 5, QUIET)
case("runs vary by 0.5 %", 5, 5, Machine(0.005))
case("runs vary by 1 %", 5, 5, USUAL)
case("runs vary by 3 %", 5, 5, NOISY)
case("1 %, steps by 10 %, phi 0.8", 5, 5, Machine(0.01, steps=Steps(0.1, 0.8)))
case("1 %, one step in 50 a pause", 5, 5, Machine(0.01, steps=Steps(paused=True)))
case("1 %, each run drifts by 3 %", 5, 5, Machine(0.01, steps=Steps(drift=0.03)))
case("0.3 %, one run in 20 is 5 % slower", 5, 5, Machine(0.003, disturbed=0.05))
case("0.3 %, NEW varies by 2 %", 5, 5, QUIET, then=Machine(0.02))
case("quiet", 3, 3, QUIET)
case("quiet", 2, 2, QUIET)
case("quiet, last:10", 10, 1, QUIET)
case("1 %, last:10", 10, 1, USUAL)
case("1 %, last:10", 10, 2, USUAL)
case("quiet, a history of 30 runs", 1, 1, QUIET, history=30)
case("1 %, a history of 30 runs", 1, 1, USUAL, history=30)
case("quiet, spread assumed", 1, 1, QUIET)
case("1 %, spread assumed", 1, 1, USUAL)
case("3 %, spread assumed", 1, 1, NOISY)
case("0.3 %, one run in 20 is 5 % slower, last:10", 10, 1, Machine(0.003, disturbed=0.05))
case("0.3 %, one run in 20 is 5 % slower, last:10", 10, 2, Machine(0.003, disturbed=0.05))
case("0.3 %, NEW varies by 2 %, last:10", 10, 2, QUIET, then=Machine(0.02))
case("0.3 %, and days by 1 %; each side on one day", 5, 5, Machine(0.003, day_sd=0.01))


BETWEEN = [(f"{sd:.1%}", Machine(sd), earlier) for sd in (0.0, 0.003, 0.01, 0.03) for earlier in (5, 10, 30)] + [
    ("1.0%, steps by 10 %, phi 0.8", Machine(0.01, steps=Steps(0.1, 0.8)), 10),
    ("0.3%, one run in 20 is 5 % slower", Machine(0.003, disturbed=0.05), 10),
]


def verdict(base: list[RunFigure], new: list[RunFigure], history: list[RunFigure]) -> Kind:
    """On throughput alone."""
    found = change(base, new, THROUGHPUT.higher_is_better, history, THROUGHPUT.unknown_sd)
    return overall(judge([(THROUGHPUT, found)], THRESHOLD), named=False)


def naive(base: Side, new: Side, loss: float) -> bool:
    """Alarm of Welch's test on all steps, taken for independent, at the same level."""
    scale = 1 / (1 - loss)
    means = base.mean_s.mean(), scale * new.mean_s.mean()
    sizes = [STEPS * len(side.mean_s) for side in (base, new)]
    variances = [side.variance_s2.mean() + side.mean_s.var() for side in (base, new)]
    parts = [variances[0] / sizes[0], scale**2 * variances[1] / sizes[1]]
    dof = sum(parts) ** 2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    return bool(stdtr(dof, (means[0] - means[1]) / math.sqrt(sum(parts))) <= ALPHA)


def verdicts(draws: int) -> None:
    """Alarms at no change and at losses, beside a fixed limit and a naive test."""
    print(f"\nShare of {draws} simulated pairs, in %, threshold {THRESHOLD:.0%}\n")
    print(
        "| machine | runs | alarm at no change | at 2 % | at 3 % | at 5 % | pass at no change | pass at 3 % "
        "| fixed 7 %: at no change | at 3 % | at 5 % | naive t: at no change | at 2 % |"
    )
    print("|---" * 13 + "|")
    rng = np.random.default_rng(0)
    for title, one, other, base_runs, new_runs, history_runs in CASES:
        found: dict[str, list[bool]] = {}

        def count(what: str, happened: bool, found: dict[str, list[bool]] = found) -> None:
            found.setdefault(what, []).append(happened)

        for _ in range(draws):
            base, new = one.side(base_runs, rng), other.side(new_runs, rng)
            history = one.side(history_runs, rng).readings()
            for loss in LOSSES:
                kind = verdict(base.readings(), new.readings(loss), history)
                count(f"alarm {loss}", kind == "regression")
                count(f"pass {loss}", kind == "no regression")
                count(f"fixed {loss}", np.mean(1 / new.mean_s) * (1 - loss) < (1 - FIXED) * np.mean(1 / base.mean_s))
                count(f"naive {loss}", naive(base, new, loss))
        columns = [f"alarm {loss}" for loss in LOSSES] + ["pass 0.0", "pass 0.03"]
        columns += [f"fixed {loss}" for loss in (0.0, 0.03, 0.05)] + ["naive 0.0", "naive 0.02"]
        shares = "".join(f" {100 * np.mean(found[column]):.1f} |" for column in columns)
        print(f"| {title} | {base_runs}, {new_runs} |{shares}", flush=True)


LOOKS = 3


def more(draws: int) -> None:
    """Whether as many more runs as are said to be needed do decide it, and how often the verdict is then wrong."""
    print("\nPairs, run again with the runs they asked for while they are inconclusive\n")
    print(
        "| runs vary by | true loss | runs at first | inconclusive, % | more of each: median | then decided, % "
        "| wrong at first, % | of two looks | of three | at 1 % a look: wrong at first | of two looks | of three |"
    )
    print("|---" * 12 + "|")
    rng = np.random.default_rng(1)
    for run_sd, loss, runs in ((0.01, 0.0, 3), (0.01, 0.03, 3), (0.02, 0.0, 5), (0.02, 0.03, 5), (0.02, 0.015, 5)):
        cells = []
        for level in (ALPHA / 2, ALPHA):
            rule_of_verdict.A_LOOK = level
            asked, decided, wrong = [], [], []
            for _ in range(draws):
                kinds, wanted = looks(run_sd, loss, runs, rng)
                asked += wanted[:1]
                decided += [kinds[1] != "inconclusive"] if len(kinds) > 1 else []
                wrong.append([WRONG.get(loss) in kinds[:count] for count in range(1, LOOKS + 1)])
            if level != ALPHA:
                shares = f"{100 * len(asked) / draws:.1f} | {np.median(asked):.0f} | {100 * np.mean(decided):.1f}"
                cells.append(shares)
            cells += [f"{100 * share:.2f}" if loss in WRONG else "" for share in np.mean(wrong, axis=0)]
        rule_of_verdict.A_LOOK = ALPHA / 2
        print(f"| {run_sd:.0%} | {100 * loss:.3g} % | {runs}, {runs} | {' | '.join(cells)} |", flush=True)


WRONG: dict[float, Kind] = {0.0: "regression", THRESHOLD: "no regression"}


def looks(run_sd: float, loss: float, runs: int, rng: np.random.Generator) -> tuple[list[Kind], list[int]]:
    """The verdicts on a pair that is run again while it is inconclusive, and how many more runs each asked for."""

    def side(count: int, loss: float = 0.0) -> list[RunFigure]:
        return [RunFigure((1 - loss) * value) for value in np.exp(run_sd * rng.standard_normal(count))]

    base, new = side(runs), side(runs, loss)
    kinds, wanted = list[Kind](), list[int]()
    for _ in range(LOOKS):
        (one,) = judge([(THROUGHPUT, change(base, new, True, [], THROUGHPUT.unknown_sd))], THRESHOLD)
        kinds.append(one.verdict)
        if one.more is None or one.more.each is None:
            break
        wanted.append(one.more.each)
        base, new = base + side(one.more.each), new + side(one.more.each, loss)
    return kinds, wanted


def figures(draws: int) -> None:
    """Any false alarm of one to five figures that are independent of each other, each varying by 1 %."""
    print(f"\nFalse alarms of {draws} pairs, 5 runs a side, and alarms where throughput alone is 3 % lower\n")
    print("| figures | a false alarm, % | uncorrected, % | alarm at a loss of 3 %, % |\n|---|---|---|---|")
    rng = np.random.default_rng(2)
    for count in range(1, len(METRICS) + 1):

        def alarm(loss: float, correct: Callable[..., Kind], count: int = count) -> bool:
            changes = []
            for metric in METRICS[:count]:
                values = np.exp(0.01 * rng.standard_normal((2, 5)))
                values[1] *= 1 - loss if metric is THROUGHPUT else 1
                sides = [[RunFigure(float(value)) for value in side] for side in values]
                changes.append((metric, change(*sides, metric.higher_is_better, [], metric.unknown_sd)))
            return correct(changes) == "regression"

        def together(changes: list) -> Kind:
            return overall(judge(changes, THRESHOLD), named=False)

        def alone(changes: list) -> Kind:
            kinds = [overall(judge([one], THRESHOLD), named=False) for one in changes]
            return "regression" if "regression" in kinds else "no regression"

        shares = [
            np.mean([alarm(loss, correct) for _ in range(draws)])
            for loss, correct in ((0.0, together), (0.0, alone), (THRESHOLD, together))
        ]
        print(f"| {count} |" + "".join(f" {100 * share:.1f} |" for share in shares), flush=True)


COUNTS = (1, 2, 3, 4, 5)
LARGER = (0.0, 0.03, 0.05, 0.10)


def counts(draws: int) -> None:
    """What more runs a side find, by what else is known of the spread between runs."""
    print(f"\nShare of {draws} pairs, in %: alarms at each loss, and passes at the threshold\n")
    heads = ["known", "runs vary by", "runs a side", "alarm at no change", "at 3 %", "at 5 %", "at 10 %", "pass at 3 %"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for known, earlier in (("nothing", 0), ("a history of 30 runs", 30), ("a calibration of 50 runs", 50)):
        for run_sd in (0.003, 0.01, 0.03):
            for count in COUNTS:
                rng = np.random.default_rng(0)
                kinds: dict[float, list[Kind]] = {loss: [] for loss in LARGER}
                for _ in range(draws):
                    base, new, others = (drawn_side(many, run_sd, rng) for many in (count, count, earlier))
                    of_history, calibrated = (others, []) if "history" in known else ([], others)
                    for loss, found in kinds.items():
                        slower = [RunFigure(run.value * (1 - loss), run.error_share) for run in new]
                        one = change(base, slower, True, of_history, THROUGHPUT.unknown_sd, calibrated)
                        found.append(judge([(THROUGHPUT, one)], THRESHOLD)[0].verdict)
                cells = [np.mean([kind == "regression" for kind in found]) for found in kinds.values()]
                cells.append(np.mean([kind == "no regression" for kind in kinds[THRESHOLD]]))
                shares = "".join(f" {100 * cell:.1f} |" for cell in cells)
                print(f"| {known} | {100 * run_sd:.3g} % | {count} |{shares}", flush=True)


def drawn_side(count: int, run_sd: float, rng: np.random.Generator) -> list[RunFigure]:
    """Runs whose own interval is +-0.2 %."""
    return [RunFigure(float(value), 0.001) for value in np.exp(run_sd * rng.standard_normal(count))]


def between(draws: int) -> None:
    """Coverage of the interval of a run's steps, and of that between runs."""
    print(f"\nShare of {draws} runs whose interval holds the configuration's throughput, in %\n")
    print("| runs vary by | earlier runs | of the run's steps | half-width | between runs | half-width |")
    print("|---" * 6 + "|")
    rng = np.random.default_rng(3)
    for title, machine, earlier in BETWEEN:
        found: list[tuple[bool, float, bool, float]] = []
        for _ in range(draws):
            *runs, own = machine.side(earlier + 1, rng).readings()
            steps = (
                own.value * math.exp(-NORMAL_95 * own.error_share),
                own.value * math.exp(NORMAL_95 * own.error_share),
            )
            row = []
            for low, high in (steps, interval(own, runs)):
                row += [low <= IMAGES <= high, (high - low) / 2 / own.value]
            found.append((row[0], row[1], row[2], row[3]))
        covers, half, covers_between, half_between = np.mean(found, axis=0)
        widths = f" {100 * covers:.1f} | {half:.2%} | {100 * covers_between:.1f} | {half_between:.2%} |"
        print(f"| {title} | {earlier} |{widths}", flush=True)


def main() -> None:
    """Print the chosen parts."""
    parser = parser_of(__doc__)
    parts = {"verdicts": verdicts, "more": more, "figures": figures, "between": between, "counts": counts}
    add_parts(parser, parts, draws=2000)
    show_parts(parts, parser.parse_args())


if __name__ == "__main__":
    run(main)
