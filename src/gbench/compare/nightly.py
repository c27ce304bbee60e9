"""A night against the nights before it: from records to one verdict, a sentence and an exit code."""

import math
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from gbench.base.words import count
from gbench.cndb.record_file import records_of
from gbench.compare.comparison import Comparison, percent, relative
from gbench.compare.differences import IMAGE, require_comparable
from gbench.compare.explain import Cause, explain, in_cycles
from gbench.compare.gate import night_rates
from gbench.compare.metrics import THROUGHPUT, ComparedMetric, common_throughput, metric_named
from gbench.compare.sides import Run, started
from gbench.errors import ExitCode, UsageError
from gbench.machine.calibration import Calibration, GateRates
from gbench.measure.nights import MIN_NIGHTS, Kind, NightJudged, judge_night

APART = timedelta(hours=6)  # a run that starts later than this after the one before belongs to another night
WORST_FIRST: tuple[Kind, ...] = ("regression", "inconclusive", "too few nights", "improved", "no regression")


@dataclass(frozen=True)
class Anchor:
    """The nights that later ones are compared with."""

    name: str
    """Of the baseline that is pinned, or to be pinned."""
    pinned: bool
    nights: list[list[Run]]
    since: list[list[Run]]
    """The nights after them, without tonight."""

    @property
    def runs(self) -> list[Run]:
        return [run for night in self.nights for run in night]


@dataclass(frozen=True)
class NightFigure:
    metric: ComparedMetric
    judged: NightJudged
    base: float | None
    """Median of the anchor's nights; None without any."""
    new: float
    """Median of tonight's runs."""


@dataclass(frozen=True)
class Night:
    """The verdict, the figures that it rests on, and what limits them."""

    figures: list[NightFigure]
    anchor: Anchor
    tonight: list[Run]
    threshold: float
    open_nights: int = 0
    """Inconclusive nights in a row, tonight included."""
    warned_after: int = 5
    """Inconclusive nights in a row from which they are a warning."""
    notes: list[str] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    """What differs from the anchor, for a regression."""
    rates: GateRates | None = None
    """Of this gate, where the machine is calibrated."""

    @property
    def verdict(self) -> Kind:
        return min((one.judged.verdict for one in self.figures), key=WORST_FIRST.index)

    @property
    def doubtful(self) -> bool:
        """Whether more runs may change the verdict."""
        suspicious = any(one.judged.suspicious for one in self.figures)
        return suspicious or self.verdict in ("regression", "inconclusive")

    @property
    def exit_code(self) -> ExitCode:
        if self.verdict == "regression":
            return ExitCode.FAILED
        warned = self.verdict == "inconclusive" and self.open_nights >= self.warned_after
        return ExitCode.INCONCLUSIVE if warned else ExitCode.OK

    @property
    def sentence(self) -> str:
        """The verdict in one sentence that can be quoted alone."""
        return self._verdict if self.rates is None else f"{self._verdict}; {self.rates}"

    @property
    def _verdict(self) -> str:
        one = min(self.figures, key=lambda one: WORST_FIRST.index(one.judged.verdict))
        pinned = "pinned " if self.anchor.pinned else ""
        nights = count(len(self.anchor.nights), f"{pinned}night")
        against = f"{count(len(self.tonight), 'run')} tonight against {nights}"
        if self.verdict == "too few nights":
            kind = pinned or "earlier "
            return f"NO VERDICT YET: {len(self.anchor.nights)} of {MIN_NIGHTS} {kind}nights; {change_text(one)}"
        word: str = self.verdict.upper()
        if self.verdict == "inconclusive" and self.open_nights > 1:
            word += f", {self.open_nights} nights in a row"
        reason = f"; {one.judged.reason}" if one.judged.reason else ""
        return f"{word}: {change_text(one)}{reason}; {against}"


def require_figures(runs: Sequence[Run], names: Sequence[str]) -> None:
    """Raises UsageError: a run lacks one of these figures."""
    for name in names:
        _values(runs, metric_named(name))


def in_nights(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs by night, oldest first. Runs that don't say when they started are left out."""
    dated = sorted(((when, run) for run in runs if (when := started(run.record))), key=lambda one: one[0])
    nights: list[list[Run]] = []
    for place, (when, run) in enumerate(dated):
        if place == 0 or when - dated[place - 1][0] > APART:
            nights.append([])
        nights[-1].append(run)
    return nights


def anchor_of(name: str, pinned: Sequence[Run], earlier: Sequence[Run]) -> Anchor:
    """The anchor: the pinned runs; without any, the first nights of the earlier runs."""
    if not pinned:
        nights = in_nights(earlier)
        return Anchor(name, False, nights[:MIN_NIGHTS], nights[MIN_NIGHTS:])
    anchor = in_nights(pinned) or [list(pinned)]
    last = started(anchor[-1][-1].record)
    own = {run.record.run_id for run in pinned}
    later = [run for run in earlier if run.record.run_id not in own]
    since = [run for run in later if last is None or ((when := started(run.record)) is not None and when > last)]
    return Anchor(name, True, anchor, in_nights(since))


def judge(
    anchor: Anchor,
    tonight: list[Run],
    threshold: float,
    allowed: Collection[str],
    names: Sequence[str],
    warned_after: int,
    pairs: Comparison | None = None,
    calibration: Calibration | None = None,
) -> Night:
    """The verdict on tonight.

    Args:
        threshold: the loss in a night that must be excluded, as a share of 1.
        allowed: fields in which the runs may differ, in addition to the image.
        names: the figures to judge.
        pairs: tonight's runs against runs of the pinned image in turn with them.
        calibration: that of tonight's machine and configuration, if it has one.

    Raises UsageError: the runs are not comparable, or lack a figure.
    """
    nights = [*anchor.nights, *anchor.since, tonight]
    records = [run.record for night in nights for run in night]
    notes: list[str] = []
    if len(nights) > 1:
        new = [run.record for run in tonight]
        notes = [
            f"allowed to differ: {text}" for text in require_comparable(records[: -len(new)], new, {IMAGE, *allowed})
        ]
    throughput, why = common_throughput(records)
    notes += [f"throughput is compared {why}"] if why else []
    figures, open_nights = [], 0
    for name in dict.fromkeys(names):
        metric = throughput if name == THROUGHPUT.name else metric_named(name)
        values = [_values(night, metric) for night in nights]
        base, since = values[: len(anchor.nights)], values[len(anchor.nights) :]
        run_sd = calibration.run_sd if calibration and metric is THROUGHPUT else None
        judged = judge_night(base, since, threshold, run_sd)
        if metric is throughput and pairs is not None:
            judged = _decided(judged, pairs)
        centre = _middle([_middle(night) for night in base]) if base else None
        figures.append(
            NightFigure(
                metric.in_unit_of(run.record for run in tonight),
                judged,
                centre and _shown(centre, metric),
                _shown(_middle(since[-1]), metric),
            )
        )
        open_nights = max(open_nights, _open(base, since, threshold, warned_after, run_sd))
    judged_here = throughput is THROUGHPUT and THROUGHPUT.name in names
    rates = night_rates(calibration.runs, len(tonight)) if calibration and judged_here else None
    night = Night(figures, anchor, tonight, threshold, open_nights, warned_after, notes, rates=rates)
    notes += _notes(night)
    if pairs is not None:
        notes.append(f"in turn with the pinned image: {pairs.sentence}")
    if night.verdict in ("regression", "improved") and anchor.nights:
        slower = any(one.metric.name == THROUGHPUT.name and one.judged.verdict == "regression" for one in figures)
        if slower and (
            clocks := in_cycles([one.record for one in anchor.runs], [one.record for one in tonight], threshold)
        ):
            notes.append(clocks)
        causes = explain([run.record for run in anchor.nights[-1]], [run.record for run in tonight])
        return replace(night, causes=causes)
    return night


def _decided(judged: NightJudged, pairs: Comparison) -> NightJudged:
    """The verdict where tonight's runs in turn with the pinned image, which shares tonight's machine, decide it."""
    if judged.gross or judged.verdict == "improved" or pairs.verdict == "inconclusive":
        return judged
    if pairs.verdict == "regression":
        return replace(judged, verdict="regression", reason="slower than the pinned image tonight")
    slow = judged.verdict == "regression"
    reason = "the pinned image is as slow tonight: the machine changed" if slow else ""
    return replace(judged, verdict="no regression", reason=reason, suspicious=False)


def change_text(one: NightFigure) -> str:
    judged = one.judged
    if judged.change is None:
        return f"{one.metric.title} {one.new:.4g} {one.metric.unit}".rstrip()
    change, low, high = one_way(one)
    interval = "" if low is None else f" (95 % interval {low} to {high})"
    since = f" since {judged.nights} nights" if judged.nights > 1 else ""
    return f"{one.metric.title} {change}{interval}{since}"


def one_way(one: NightFigure) -> tuple[str, str | None, str | None]:
    """The change and its interval in words, of the figure itself: a step time that rises is a loss."""
    judged = one.judged
    ends = [None if end is None else 1 + end for end in (judged.change, judged.low, judged.high)]
    if not one.metric.higher_is_better:
        ends = [None if end is None else 1 / max(end, 1e-9) for end in (ends[0], ends[2], ends[1])]
    change, low, high = (None if end is None else relative(end, 1) for end in ends)
    return change or "", low, high


def pin_command(night: Night, cndb_dir: Path) -> str | None:
    """The command that pins the latest nights; None where a record of them is not on this disk.

    The nights of the level that tonight is at, for an improvement; else as many as an anchor needs.
    """
    every = [*night.anchor.nights, *night.anchor.since, night.tonight]
    count = max(one.judged.nights for one in night.figures) if night.verdict == "improved" else MIN_NIGHTS
    paths: list[str] = []
    for run in (run for one in every[-count:] for run in one):
        files = records_of(cndb_dir, run.record.run_id or "")
        if run.record.run_id is None or not files:
            return None
        paths.append(str(files[0]))
    word = "refresh" if night.anchor.pinned else "set"
    command = ["gbench", "cndb", "baseline", word, night.anchor.name, ",".join(paths), "--reason", "WHY"]
    return shlex.join([*command, "--cndb-dir", str(cndb_dir)])


def _values(night: Sequence[Run], metric: ComparedMetric) -> list[float]:
    """The figure of each run, as one of which more is better."""
    found = [metric.read(run.record) for run in night]
    known = [one.value for one in found if one is not None]
    if len(known) < len(found):
        raise UsageError(f"not every run has {metric.name}", "leave it out of --metric")
    return known if metric.higher_is_better else [1 / value for value in known]


def _middle(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else math.sqrt(ordered[half - 1] * ordered[half])


def _shown(value: float, metric: ComparedMetric) -> float:
    return value if metric.higher_is_better else 1 / value


def _open(base: list[list[float]], since: list[list[float]], threshold: float, limit: int, run_sd: float | None) -> int:
    """How many nights in a row were inconclusive, tonight included, counted up to a limit."""
    count = 0
    while count < min(limit, len(since)):
        if judge_night(base, since[: len(since) - count], threshold, run_sd).verdict != "inconclusive":
            break
        count += 1
    return count


def _notes(night: Night) -> list[str]:
    notes, anchor = [], night.anchor
    if not anchor.pinned:
        first = "nothing: no earlier night"
        if anchor.nights:
            first = f"the first {count(len(anchor.nights), 'night')} of the database"
        notes.append(f"no baseline {anchor.name} is pinned (gbench cndb baseline set); compared with {first}")
    if night.verdict == "too few nights":
        notes.append(f"below {MIN_NIGHTS} nights only a loss of a quarter and more is an alarm")
    if night.verdict == "improved":
        notes.append("to make this the new anchor, pin its nights, ten at best")
    if night.exit_code is ExitCode.INCONCLUSIVE:
        nights = f"{night.open_nights} nights in a row are" if night.open_nights > 1 else "this night is"
        notes.append(
            f"{nights} inconclusive: this machine does not show a loss of {percent(night.threshold)} in a night; "
            "see gbench check, or give more --runs or --steps"
        )
    return notes
