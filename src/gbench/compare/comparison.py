"""Compare BASE with NEW: from their runs to one verdict and a sentence that states it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from gbench.compare.change import change
from gbench.compare.differences import require_comparable
from gbench.compare.explain import Cause, explain, in_cycles
from gbench.compare.gate import compare_rates, figures_of
from gbench.compare.metrics import METRICS, THROUGHPUT, common_throughput, metric_named
from gbench.compare.sides import Run, require_distinct, started
from gbench.compare.verdict import A_LOOK, PLANNED_CHANCE, Judged, Kind, More, judge, overall
from gbench.errors import ExitCode, UsageError
from gbench.machine.calibration import Calibration, GateRates

EXIT_CODES = {
    "no regression": ExitCode.OK,
    "regression": ExitCode.FAILED,
    "inconclusive": ExitCode.INCONCLUSIVE,
}
UNSTEADY = (
    "a run was not steady, and nothing measured says how much such runs differ; give longer runs, or several a side"
)
ONE_GO = timedelta(hours=3)  # runs within this time count as one session


@dataclass(frozen=True)
class Comparison:
    """The verdict, the figures it rests on, and what limits them."""

    base: list[Run]
    new: list[Run]
    threshold: float  # share of 1
    named: bool  # the figures were chosen by --metric
    judged: list[Judged]
    undecidable: set[str]  # names of figures that are inconclusive since a run was not steady
    notes: list[str]  # sentences
    causes: list[Cause]  # what else differs
    rates: GateRates | None = None  # of this gate, where the machine is calibrated

    @property
    def verdict(self) -> Kind:
        return overall(self.judged, self.named)

    @property
    def exit_code(self) -> ExitCode:
        return EXIT_CODES[self.verdict]

    @property
    def sentence(self) -> str:
        """The verdict in one sentence that can be quoted alone."""
        return self._verdict if self.rates is None else f"{self._verdict}; {self.rates}"

    @property
    def _verdict(self) -> str:
        runs = f"{len(self.base)} against {len(self.new)} runs"
        if self.verdict == "regression":
            worse = ", ".join(change_text(one) for one in self.judged if one.verdict == "regression")
            return f"REGRESSION: {worse}; {runs}"
        if self.verdict == "inconclusive":
            open_ones = [one for one in self.judged if one.verdict == "inconclusive"]
            one = open_ones[0] if self.named else self.judged[0]
            if one.metric.name in self.undecidable:
                return f"INCONCLUSIVE: {change_text(one)}; {UNSTEADY}"
            loss = f"a loss of {percent(self.threshold)}"
            both = f"at {1 - A_LOOK:.1%} confidence neither no loss nor {loss} can be excluded"
            return f"INCONCLUSIVE: {change_text(one)}; {both}; {runs_needed(one)}"
        better = [one for one in self.judged if one.improved]
        changes = ", ".join(change_text(one) for one in (better or self.judged[:1]))
        return f"NO REGRESSION of {percent(self.threshold)}{', IMPROVED' if better else ''}: {changes}; {runs}"


def compare(
    base: list[Run],
    new: list[Run],
    history: Sequence[Run],
    threshold: float,
    allowed: Collection[str] = (),
    names: Sequence[str] = (),
    run_sd: float | None = None,
    calibration: Calibration | None = None,
) -> Comparison:
    """Compare two sets of at least one run each.

    Args:
        history: earlier runs of the configuration, oldest first.
        threshold: the slowdown to detect, as a share of 1.
        allowed: fields in which the runs may differ.
        names: figures to judge, the headline first; empty: all that every run has.
        run_sd: standard deviation of throughput between runs to assume if unknown, as a share of 1; None: the default.
        calibration: that of the runs' machine and configuration, if it has one; not used with `run_sd`.

    Raises UsageError: the runs are not comparable, or have no figure in common.
    """
    require_distinct(base, new)
    calibration = calibration if run_sd is None else None
    records = [run.record for run in base], [run.record for run in new]
    notes = [f"allowed to differ: {text}" for text in require_comparable(*records, allowed)]
    throughput, why = common_throughput([*records[0], *records[1]])
    alike = throughput if why else common_throughput([run.record for run in history])[0]
    if why:
        notes.append(f"throughput is compared {why}")
    unsteady = run_sd is None and any(
        (run.record.perf_data or {}).get("steady_state") is False for run in (*base, *new)
    )
    changes = []
    for metric in [metric_named(name) for name in dict.fromkeys(names)] or METRICS:
        metric = throughput if metric is THROUGHPUT else metric
        readings = [[metric.read(record) for record in side] for side in records]
        known = [[reading for reading in side if reading is not None] for side in readings]
        if [len(side) for side in known] != [len(base), len(new)]:
            if names:
                raise UsageError(f"not every run has {metric.name}", "leave it out of --metric")
            if any(known) and metric is throughput:  # otherwise the next figure would become the headline
                without = next(run for run in (*base, *new) if metric.read(run.record) is None)
                raise UsageError(
                    f"{without.source} has no throughput above 0, others do",
                    "fix it, or judge other figures alone: --metric latency-p95",
                )
            if any(known):
                notes.append(f"{metric.title} is not judged: not every run has it")
            continue
        of_history = alike if metric is throughput else metric
        earlier = [reading for run in history if (reading := of_history.read(run.record)) is not None]
        unknown_sd = run_sd if run_sd is not None and metric is throughput else metric.unknown_sd
        calibrated = figures_of(calibration.runs) if calibration and metric is THROUGHPUT else []
        found = change(known[0], known[1], metric.higher_is_better, earlier, unknown_sd, calibrated)
        if unsteady and metric.of_speed:
            found = found.without_assumption()
        changes.append((metric.in_unit_of([*records[0], *records[1]]), found))
    if not changes:
        raise UsageError("BASE and NEW have no figure in common", "compare records of measured runs")
    assumed = {metric.name for metric, found in changes if metric.of_speed and "assumed" in found.sources}
    undecidable = assumed if unsteady else set()
    judged = judge(changes, threshold, undecidable)
    if len(new) == 1 and any(one.verdict == "regression" for one in judged):
        notes.append("NEW is a single run, which a disturbance may have slowed; a second one would show")
    notes += [*_on_spread(judged, len(history)), *_on_runs(base, new), *_on_figures(judged, bool(names))]
    slower = any(one.metric.name == THROUGHPUT.name and one.verdict == "regression" for one in judged)
    if slower and (clocks := in_cycles(*records, threshold)):
        notes.append(clocks)
    rates = None
    if calibration and throughput is THROUGHPUT and any(metric.name == THROUGHPUT.name for metric, _ in changes):
        rates = compare_rates(calibration.runs, len(base), len(new), threshold)
    return Comparison(base, new, threshold, bool(names), judged, undecidable, notes, explain(*records), rates)


def change_text(one: Judged) -> str:
    ratio, low, high = (relative(value, 1) for value in (one.ratio, one.low, one.high))
    return f"{one.metric.title} {ratio} (95 % interval {low} to {high})"


def relative(ratio: float, digits: int) -> str:
    """The relative change, such as `-3.1%`; above ten times only `>+900%`."""
    return f"{ratio - 1:+.{digits}%}" if ratio <= 10 else ">+900%"


def runs_needed(one: Judged) -> str:
    """How many more runs would decide an inconclusive figure."""
    more = one.more or More(None, None)
    ways = [f"{count} more of {whom}" for count, whom in ((more.each, "each"), (more.new, "NEW alone")) if count]
    if not ways:
        return "no reasonable number of runs would decide it: make the machine quieter, or the runs longer"
    fewer = ", fewer where runs vary less than assumed" if one.change.reading.source == "assumed" else ""
    return f"{' or '.join(ways)} would decide it in {PLANNED_CHANCE:.0%} of such cases{fewer}"


def percent(share: float) -> str:
    """`3%`, `0.5%`."""
    return f"{100 * share:.3g}%"


def _on_spread(judged: Sequence[Judged], history: int) -> list[str]:
    """The source of the spread between runs, unless it is the compared runs."""
    notes = []
    if any("history" in one.change.sources for one in judged):
        notes.append(f"the spread between runs includes that of {history} earlier runs of this configuration")
    if any("calibration" in one.change.sources for one in judged):
        notes.append("the spread between runs includes that of the runs of gbench calibrate on this machine")
    assumed = [
        f"{one.metric.title} {percent(one.change.unknown_sd)}" for one in judged if "assumed" in one.change.sources
    ]
    if assumed:
        alone = any(one.change.reading.source == "assumed" for one in judged)
        few = "one run per side does not show" if alone else "few runs show little of"
        notes.append(
            f"{few} the spread between runs, and there is no history: a standard deviation of "
            f"{'; '.join(assumed)} is ASSUMED{'' if alone else ' at most'}; give more runs, a --db with history, or "
            "--run-sd"
        )
    return notes


def _on_runs(base: Sequence[Run], new: Sequence[Run]) -> list[str]:
    """Properties of the runs that make the verdict less reliable."""
    notes = []
    for name, side in (("BASE", base), ("NEW", new)):
        perfs = [run.record.perf_data or {} for run in side]
        for key, what in (("steady_state", "did not reach a steady state"), ("complete", "did not come to their end")):
            count = sum(perf.get(key) is False for perf in perfs)
            if count:
                notes.append(f"{count} of {len(side)} runs of {name} {what}")
    times = [[time for run in side if (time := started(run.record)) is not None] for side in (base, new)]
    if all(len(side) > 1 and max(side) - min(side) <= ONE_GO for side in times):
        apart = max(min(times[1]) - max(times[0]), min(times[0]) - max(times[1]))
        if apart > ONE_GO:
            notes.append(
                f"each side ran in one session, {apart.total_seconds() / 3600:.0f} h apart: the intervals do not "
                "cover drift between those times; runs over several days, or of both in turn, would"
            )
    return notes


def _on_figures(judged: Sequence[Judged], named: bool) -> list[str]:
    """Losses too small to matter, and undecided figures other than the headline."""
    small = [one.metric.title for one in judged if one.surely_worse and one.verdict == "no regression"]
    titles = [] if named else [one.metric.title for one in judged[1:] if one.verdict == "inconclusive"]
    groups = {"certainly worse, but by less than half the threshold": small}
    groups["undecided, and not part of the verdict"] = titles
    return [f"{what}: {', '.join(those)}" for what, those in groups.items() if those]
