"""What whole epochs, the drift and the speeds of a run are worth, on simulated runs with known truth.

    python benchmarks/cycles.py [--stopping] [--intervals] [--power] [--states] [--drifts] [--draws 1000]

Without a choice all parts run. They print tables of docs/statistics.md and docs/compare.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from command import add_parts, parser_of, run, show_parts

from gbench.compare import change as rule_of_change
from gbench.compare.metrics import THROUGHPUT, RunFigure
from gbench.compare.verdict import Kind, judge, overall
from gbench.measure.bootstrap import throughput_interval
from gbench.measure.measured_steps import Periods, measured_steps
from gbench.measure.steadiness import HIDDEN, judge_steadiness
from gbench.measure.steady_state import SteadyState, find_steady_state
from gbench.measure.stopping_rule import StoppingRule
from gbench.runfolder.run_result import Interval
from gbench.settings.model_config import ScheduleConfig
from simulated import Floats, ar1, two_states

READING = 10  # steps between two readings, at which a run may stop


def holds(interval: Interval | None, rate: float) -> bool:
    return interval is not None and interval.low <= rate <= interval.high


def stopped(step_s: Floats, epoch: int | None) -> tuple[int, Interval | None]:
    """Where `--until-ci 1%` ends a run, and its interval. epoch: its steps; None: not told to the rule."""
    rule = StoppingRule(ScheduleConfig(until_ci=0.01), steps_per_epoch=epoch)
    steps = next(
        (
            start + READING
            for start in range(0, len(step_s), READING)
            if rule.reason((seconds, 1) for seconds in step_s[start : start + READING].tolist())
        ),
        len(step_s),
    )
    found = measured_steps([step_s[:steps]], 0, None, Periods(epoch))
    return steps, throughput_interval(step_s[found.first : steps], 1, cycle=found.cycle)


def stopping(draws: int) -> None:
    """Steps and coverage of `--until-ci 1%` where each epoch ends in a slow step, with and without whole epochs."""
    print(f"\nStopping at a half-width of 1 %, a slow step each epoch: {draws} draws of AR(1), phi 0.3, noise 2 %\n")
    print("| epoch | slow step | steps counted: median | coverage | whole epochs: median | coverage |")
    print("|---" * 6 + "|")
    rng = np.random.default_rng(0)
    for epoch, slow in ((500, 2), (500, 5), (500, 50), (50, 5)):
        found: dict[int | None, list[tuple[int, bool]]] = {None: [], epoch: []}
        for step_s in ar1(draws, 6 * epoch + 200, 0.3, 0.02, rng):
            step_s[epoch - 1 :: epoch] += slow
            for known, seen in found.items():
                steps, interval = stopped(step_s, known)
                seen.append((steps, holds(interval, 1 / (1 + slow / epoch))))
        cells = [f"{np.median([s for s, _ in seen]):.0f} | {percent(c for _, c in seen)}" for seen in found.values()]
        print(f"| {epoch} steps | {slow + 1} times as long | {' | '.join(cells)} |", flush=True)


def intervals(draws: int) -> None:
    """Coverage and half-width over whole epochs, with and without what returns in each."""
    print(f"\nIntervals over whole epochs: {draws} draws of AR(1), noise 2 %\n")
    print("| run | epochs | phi | coverage | half-width | cycle not known: coverage | half-width |")
    print("|---" * 7 + "|")
    rng = np.random.default_rng(0)
    shapes = [("nothing returns", 0, 0.0), ("a slow step, 6 times", 5, 0.0), ("the same, varying by 10 %", 5, 0.1)]
    for name, slow, vary in [*shapes, ("the same, varying by 50 %", 5, 0.5)]:
        for epoch, epochs, phi in ((500, 2, 0.6), (50, 2, 0.6), (50, 10, 0.6), (10, 5, 0.3)):
            series = ar1(draws, epoch * epochs, phi, 0.02, rng)
            series[:, epoch - 1 :: epoch] += slow * np.exp(
                vary * rng.standard_normal((draws, epochs)) - vary * vary / 2
            )
            cells = []
            for cycle in (epoch, None):
                found = [throughput_interval(step_s, 1, cycle=cycle) for step_s in series]
                width = np.median([interval.half_width_share for interval in found if interval])
                covered = percent(holds(interval, 1 / (1 + slow / epoch)) for interval in found)
                cells.append(f"{covered} | {100 * width:.2f} %")
            print(f"| {name} | {epochs} of {epoch} steps | {phi} | {' | '.join(cells)} |", flush=True)


def verdict(base: list[RunFigure], new: list[RunFigure], known_dof: float) -> Kind:
    rule_of_change.KNOWN_DOF = known_dof
    found = rule_of_change.change(base, new, True, [], THROUGHPUT.unknown_sd)
    return overall(judge([(THROUGHPUT, found)], 0.03), named=False)


def power(draws: int) -> None:
    """Alarms where the runs' own intervals are too wide, with and without the lower limit from them."""
    known = rule_of_change.KNOWN_DOF
    print(f"\nRuns that vary by 0.3 %, 5 a side: alarms of {draws} pairs in %, threshold 3 %\n")
    print("| interval of a run | limit: at no change | at 3 % | no limit: at no change | at 3 % |")
    print("|---" * 5 + "|")
    rng = np.random.default_rng(0)
    for half_width in (0.005, 0.02, 0.03, 0.05):
        cells = {(dof, loss): 0 for dof in (math.inf, known) for loss in (0.0, 0.03)}
        for _ in range(draws):
            values = np.exp(0.003 * rng.standard_normal((2, 5)))
            for dof, loss in cells:
                sides = [
                    [RunFigure(float(value) * scale, half_width / 1.96) for value in side]
                    for side, scale in zip(values, (1, 1 - loss), strict=True)
                ]
                cells[dof, loss] += verdict(sides[0], sides[1], dof) == "regression"
        shares = " | ".join(f"{100 * count / draws:.1f}" for count in cells.values())
        print(f"| +-{100 * half_width:.3g} % | {shares} |", flush=True)


def states(draws: int) -> None:
    """Runs of a machine with two clock states that saw both of them: called steady, and then right."""
    print(f"\nTwo clock states 10 % apart: runs of {draws} that saw both for at least 10 % of their steps\n")
    print(
        "| steps | dwell | saw both | first rule: called steady | coverage then "
        "| now: called steady | without other speeds | coverage then |"
    )
    print("|---" * 8 + "|")
    rng = np.random.default_rng(0)
    for steps, dwell in ((200, 50), (200, 100), (500, 50), (500, 100), (500, 200), (2000, 200), (2000, 500)):
        first, now, plain = [], [], []
        both = 0
        for _ in range(draws):
            step_s, state = two_states(steps, dwell, 0.1, rng)
            if not 0.1 <= state.mean() <= 0.9:
                continue
            both += 1
            before, found = find_steady_state(step_s), judge_steadiness(step_s)
            first += [covers(step_s, before)] if before.settled else []
            now += [covers(step_s, found)] if found.settled else []
            plain += [covers(step_s, found)] if found.settled and len(found.speeds) < 2 else []
        shares = [f"{percent_of(len(first), both)} | {percent(first)}", percent_of(len(now), both)]
        shares.append(f"{percent_of(len(plain), both)} | {percent(plain)}")
        print(f"| {steps} | {dwell} | {percent_of(both, draws)} | {' | '.join(shares)} |", flush=True)


def covers(step_s: Floats, found: SteadyState) -> bool:
    return holds(throughput_interval(step_s[found.warmup_steps :], 1), 1.0)


def drifts(draws: int) -> None:
    """Runs with a drift: called steady, and coverage of the drift's interval."""
    print(f"\nDrifting runs of {draws} called steady, and coverage of the drift's 95 % interval, in %\n")
    print("| steps | noise | phi | drift | first rule | now | now, unqualified | interval of the drift holds it |")
    print("|---" * 8 + "|")
    rng = np.random.default_rng(0)
    for steps, noise, drift in ((60, 0.02, 0.1), (60, 0.05, 0.1), (60, 0.02, 0.0), (500, 0.02, 0.03), (20, 0.05, 0.0)):
        for phi in (0.0, 0.3, 0.6, 0.8):
            first, found = [], []
            for step_s in ar1(draws, steps, phi, noise, rng) + np.linspace(-drift / 2, drift / 2, steps):
                first.append(find_steady_state(step_s).settled)
                found.append(judge_steadiness(step_s))
            plain = [one.settled and one.drift is not None and one.drift.reach <= HIDDEN for one in found]
            whole = [one.drift for one in found if one.drift is not None and one.warmup_steps == 0]
            held = percent(one.low <= drift <= one.high for one in whole)
            cells = [percent(first), percent(one.settled for one in found), percent(plain), held]
            print(f"| {steps} | {noise:.0%} | {phi} | {drift:.0%} | {' | '.join(cells)} |", flush=True)


def percent(happened: Iterable[bool]) -> str:
    """Share of the true ones, such as `94.6`; `-` without any."""
    each = list(happened)
    return f"{100 * float(np.mean(each)):.1f}" if len(each) else "-"


def percent_of(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}" if total else "-"


def main() -> None:
    """Print the chosen parts."""
    parser = parser_of(__doc__)
    parts = {"stopping": stopping, "intervals": intervals, "power": power, "states": states, "drifts": drifts}
    add_parts(parser, parts, draws=1000)
    show_parts(parts, parser.parse_args())


if __name__ == "__main__":
    run(main)
