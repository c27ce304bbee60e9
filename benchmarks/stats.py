"""How far the statistics of a run can be trusted, on simulated runs with known truth, and what they cost.

    python benchmarks/stats.py [--coverage] [--until-ci] [--steady] [--speed] [--draws 1000]
    python benchmarks/stats.py --scipy 5 [--json]

Without a choice all four parts run, in about four minutes on one core. They print the tables of docs/statistics.md; its
coverage table is from 4,000 draws (--coverage --draws 4000).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from command import add_parts, at_least_one, parser_of, run, show_parts
from rows import Row, report
from scipy.stats import bootstrap
from timing import alternate, columns, seconds

from gbench.measure.bootstrap import MIN_STEPS, RESAMPLES, next_check, precise_enough, throughput_interval
from gbench.measure.paired_ratio import t_quantile
from gbench.measure.spread import spread
from gbench.measure.steadiness import judge_steadiness
from simulated import Floats, ar1, lognormal, pauses, slow_wave

Series = Callable[[int, int, float, float, np.random.Generator], Floats]
LENGTHS = (20, 50, 100, 200, 500, 2000)
LONG, SCIPY_RESAMPLES = 1_000_000, 100


def covers(series: Sequence[Floats] | Floats) -> float:
    """Share of the series (mean 1) whose interval holds the truth."""
    intervals = [throughput_interval(step_s, 1) for step_s in series]
    return sum(found is not None and found.low <= 1 <= found.high for found in intervals) / len(series)


def naive_covers(series: Floats) -> float:
    """The same for Student's t, which assumes independent steps."""
    steps = series.shape[1]
    half_width = t_quantile(0.975, steps - 1) * series.std(axis=1, ddof=1) / steps**0.5
    return float(np.mean(np.abs(series.mean(axis=1) - 1) <= half_width))


def coverage(draws: int) -> None:
    """Coverage of the 95 % interval, and of the naive one."""
    cases: list[tuple[str, Series, tuple[float, ...], float]] = [
        ("AR(1), 1 %", ar1, (0.0, 0.3, 0.6, 0.8, 0.9), 0.01),
        ("lognormal AR(1), 5 %", lognormal, (0.0, 0.3, 0.6, 0.8), 0.05),
        ("lognormal AR(1), 50 %", lognormal, (0.0, 0.6, 0.8), 0.5),
        ("wave in white noise, 5 %", slow_wave, (0.6, 0.8, 0.9), 0.05),
        ("2 % of steps double, 1 %", pauses, (0.0, 0.6), 0.01),
    ]
    print(f"\nCoverage of the 95 % interval in % of {draws} draws (last column: naive interval at 200 steps)\n")
    print("| series | phi |" + "".join(f" n = {steps} |" for steps in LENGTHS) + " naive, n = 200 |")
    print("|---|---|" + "---|" * (len(LENGTHS) + 1))
    rng = np.random.default_rng(0)
    for name, simulate, phis, noise in cases:
        for phi in phis:
            series = {steps: simulate(draws, steps, phi, noise, rng) for steps in LENGTHS}
            cells = [covers(series[steps]) for steps in LENGTHS] + [naive_covers(series[200])]
            print(f"| {name} | {phi} |" + "".join(f" {100 * share:.1f} |" for share in cells), flush=True)
    for phi in (0.0, 0.3, 0.6, 0.8):
        cells, none = [], []
        for steps in LENGTHS:
            slow = steps // 10
            warming = ar1(draws, slow + steps, phi, 0.03, rng) + np.where(np.arange(slow + steps) < slow, 0.3, 0.0)
            measured = [step_s[judge_steadiness(step_s).warmup_steps :] for step_s in warming]
            long = [step_s for step_s in measured if len(step_s) >= MIN_STEPS]
            cells.append(covers(long))
            none.append(1 - len(long) / draws)
        row = "".join(f" {100 * share:.1f} |" for share in cells)
        print(f"| AR(1), 3 %, after n / 10 steps of warm-up that it had to find | {phi} |{row} |", flush=True)
        print(f"  no interval, as too few steps were left at n = 20: {100 * none[0]:.1f} %", flush=True)


def until_ci(draws: int) -> None:
    """Steps that `--until-ci 1%` takes, and coverage of the interval it stops at."""
    most = 6000
    print(f"\nStopping at a half-width of 1 %: {draws} draws of AR(1)\n")
    print("| phi | noise | steps: median | 5 % to 95 % | coverage |\n|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for phi, noise in ((0.0, 0.05), (0.3, 0.05), (0.6, 0.05), (0.8, 0.03), (0.8, 0.05)):
        taken, series = [], ar1(draws, most, phi, noise, rng)
        for step_s in series:
            steps = next_check(0)
            while steps < most and not precise_enough(step_s[:steps], 1, 0.01):
                steps = next_check(steps)
            taken.append(min(steps, most))
        share = covers([step_s[:steps] for step_s, steps in zip(series, taken, strict=True)])
        low, middle, high = np.percentile(taken, [5, 50, 95])
        print(f"| {phi} | {noise:.0%} | {middle:.0f} | {low:.0f} to {high:.0f} | {100 * share:.1f} |", flush=True)


def steady(draws: int) -> None:
    """How often the end of warm-up is right, over autocorrelations."""
    print(f"\nSteady state: share of {draws} draws judged right, in %\n")
    phis = (0.0, 0.3, 0.6, 0.8)
    print("| run | right is |" + "".join(f" phi {phi} |" for phi in phis) + "\n|---|---|" + "---|" * len(phis))
    rng = np.random.default_rng(0)

    def show(name: str, right: str, steps: int, noise: float, shape: Floats, warmup: tuple[int, int] | None) -> None:
        cells = []
        for phi in phis:
            found = [judge_steadiness(step_s) for step_s in ar1(draws, steps, phi, noise, rng) + shape]
            if warmup is None:
                cells.append(np.mean([not each.settled for each in found]))
            else:
                cells.append(np.mean([each.settled and warmup[0] <= each.warmup_steps <= warmup[1] for each in found]))
        print(f"| {name} | {right} |" + "".join(f" {100 * cell:.1f} |" for cell in cells), flush=True)

    for steps in (20, 50, 100, 500, 2000):
        show(f"{steps} steady steps, noise 5 %", "no warm-up", steps, 0.05, np.zeros(steps), (0, 0))
    for steps, slow, more in ((100, 3, 0.3), (200, 20, 0.3), (500, 50, 0.1), (2000, 20, 0.3)):
        shape = np.where(np.arange(steps) < slow, more, 0.0)
        right = f"{slow} +- 2 steps"
        show(
            f"{slow} of {steps} steps slower by {more:.0%}, noise 3 %", right, steps, 0.03, shape, (slow - 2, slow + 2)
        )
    for steps, constant in ((500, 20), (2000, 100)):
        shape = 0.5 * np.exp(-np.arange(steps) / constant)
        window = (round(1.8 * constant), round(6.2 * constant))
        name = f"decay from +50 % in {constant} of {steps} steps, noise 3 %"
        show(name, "0.1 to 8 % of it left", steps, 0.03, shape, window)
    for steps, drift in ((100, 0.2), (500, 0.1), (2000, 0.1), (2000, 0.03)):
        name = f"drift of {drift:.0%} over {steps} steps, noise 2 %"
        show(name, "not settled", steps, 0.02, np.linspace(0, drift, steps), None)
    for steps, at, more in ((100, 70, 0.1), (500, 350, 0.05), (500, 450, 0.1)):
        shape = np.where(np.arange(steps) < at, 0.0, more)
        show(f"slower by {more:.0%} from step {at} of {steps}, noise 2 %", "not settled", steps, 0.02, shape, None)
    paused = np.where(np.arange(500) % 50 == 25, 5.0, 0.0)
    show("every 50th of 500 steps 6 times as long, noise 2 %", "no warm-up", 500, 0.02, paused, (0, 0))


def speed(draws: int) -> None:
    """Seconds each statistic takes. draws: unused."""
    print("\nSeconds, best of 5\n\n| steps | interval | steady state | spread |\n|---|---|---|---|")
    rng = np.random.default_rng(0)
    for steps in (1_000, 100_000, 1_000_000):
        step_s = ar1(1, steps, 0.6, 0.05, rng)[0]
        step_s[:50] += 1

        statistics = (
            partial(throughput_interval, step_s, 8),
            partial(judge_steadiness, step_s),
            partial(spread, step_s),
        )
        cells = [min(seconds(statistic) for _ in range(5)) for statistic in statistics]
        print(f"| {steps:,} |" + "".join(f" {cell:.4f} |" for cell in cells), flush=True)


def compare_with_scipy(rounds: int, as_json: bool) -> None:
    """Time the interval of a million steps against scipy.stats.bootstrap, which assumes independent steps."""
    step_s = ar1(1, LONG, 0.6, 0.05, np.random.default_rng(0))[0]
    rng = np.random.default_rng(1)

    def of_scipy() -> object:
        return bootstrap((step_s,), np.mean, n_resamples=SCIPY_RESAMPLES, batch=1, method="percentile", rng=rng)

    ways = {"ours": partial(seconds, lambda: throughput_interval(step_s, 8)), "scipy": partial(seconds, of_scipy)}
    times = columns(list(alternate(ways, rounds)))
    what = f"95 % interval of {LONG:,} steps, {RESAMPLES:,} resamples of blocks"
    against = f"scipy.stats.bootstrap of the mean, {SCIPY_RESAMPLES} resamples of single steps"
    report([Row.of(what, against, "s", *times.values(), goal=1.0)], [], as_json)


def main() -> None:
    """Print the chosen parts."""
    parser = parser_of(__doc__, json=True)
    parts = {"coverage": coverage, "until-ci": until_ci, "steady": steady, "speed": speed}
    add_parts(parser, parts, draws=1000)
    parser.add_argument("--scipy", type=at_least_one, metavar="ROUNDS", help="only compare the interval with scipy's")
    chosen = parser.parse_args()
    if chosen.json and not chosen.scipy:
        parser.error("--json is for --scipy")
    if chosen.scipy:
        compare_with_scipy(chosen.scipy, chosen.json)
        return
    show_parts(parts, chosen)


if __name__ == "__main__":
    run(main)
