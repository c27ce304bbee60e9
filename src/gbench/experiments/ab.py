"""Alternate two specs until the ratio of their figures is known precisely enough.

Each run is a separate launch with a run folder and a record; nothing is uploaded. Figures are read from the records, so
a run script that measures for itself is compared like any other.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from gbench.base.files import entries, is_there
from gbench.base.paths import SPEC
from gbench.base.words import count
from gbench.cndb.record import Record
from gbench.cndb.record_file import read_record
from gbench.compare.causes import VARIABLES, Influence
from gbench.compare.comparison import percent
from gbench.compare.explain import Cause, explain
from gbench.compare.metrics import ComparedMetric, metric_named
from gbench.errors import ExitCode, GbenchError, Interrupted, RecordError, RunFailed, UsageError
from gbench.experiments.block_ratio import BLOCK, LEAST_BLOCKS, SIDES, BlockRatio, Side, block_logs, ratio_of_blocks
from gbench.experiments.session import Session, SessionGoal, SessionRun
from gbench.experiments.worktrees import worktrees
from gbench.measure.estimate import duration
from gbench.runners.local import wait_for_end
from gbench.runs.attempt import Observer
from gbench.runs.launch import launch
from gbench.runs.prepare import require_possible
from gbench.settings.resolve import new_run_id


@dataclass(frozen=True)
class SessionResult:
    """The figures of a session so far."""

    metric: ComparedMetric
    asked: SessionGoal
    ratio: BlockRatio | None
    """B over A; None before the first whole block."""
    medians: dict[Side, float]
    """Median figure of each side that has runs."""
    runs: dict[Side, int]
    units: dict[Side, str]
    causes: list[Cause]
    """Differences between the records: different work; and if the ratio is not 1, measured influences and software.
    Conditions around the runs are the same for both sides, since they alternate."""

    @property
    def reached(self) -> bool:
        """Whether the interval is as narrow as requested."""
        return self.ratio is not None and self.ratio.reached(self.asked.until_ci)

    @property
    def outcome(self) -> Literal["better", "worse", "no difference", "inconclusive"]:
        """B against A, for a program: `inconclusive` until the interval is as narrow as requested."""
        if not self.reached or self.ratio is None:
            return "inconclusive"
        if not self.ratio.differs:
            return "no difference"
        return "better" if (self.ratio.ratio > 1) == self.metric.higher_is_better else "worse"

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.OK if self.reached else ExitCode.INCONCLUSIVE

    @property
    def sentence(self) -> str:
        """The result in one self-contained sentence."""
        if self.ratio is None:
            return "NOTHING KNOWN YET: no block of four runs is whole"
        ratio, figure = self.ratio, f"{self.metric.title} B/A {_times(self.ratio.ratio)}"
        low, high = ratio.low, ratio.high
        if low is None or high is None or ratio.half_width is None:
            return f"INCONCLUSIVE: {figure}, of one block, which gives no interval"
        result = (
            f"{_outcome(self.metric, ratio)}: {figure} (95 % interval {_times(low)} to {_times(high)}), "
            f"{count(ratio.blocks, 'block')} of four runs"
        )
        if self.reached:
            return result
        goal = self.asked.until_ci
        if ratio.half_width <= goal:
            return f"INCONCLUSIVE, {LEAST_BLOCKS} blocks at least are needed: {result}"
        return f"INCONCLUSIVE, +-{percent(ratio.half_width)} where +-{percent(goal)} was asked for: {result}"


def _times(ratio: float) -> str:
    """A ratio as text: four decimals (`1.0300`), or four significant digits if it is far from 1."""
    return f"{ratio:.4f}" if 0.01 <= ratio < 100 else f"{ratio:.4g}"


def _outcome(metric: ComparedMetric, ratio: BlockRatio) -> str:
    """How B compares with A: better, worse, or no difference."""
    if not ratio.differs:
        return "NO DIFFERENCE distinguishable from noise"
    better = (ratio.ratio > 1) == metric.higher_is_better
    if metric.name == "throughput":
        return f"B is {'FASTER' if better else 'SLOWER'} than A by {percent(abs(ratio.ratio - 1))}"
    word = "higher" if ratio.ratio > 1 else "lower"
    return f"B is {'BETTER' if better else 'WORSE'}, {percent(abs(ratio.ratio - 1))} {word} than A"


def require_both_possible(session: Session, environ: Mapping[str, str], rebuild: bool) -> None:
    """Check before the first run that both sides can run. Raises GbenchError: as `require_possible`; names the side."""
    for side in SIDES:
        with of_side(side, session.files[side]):
            require_possible(session.specs[side], environ, rebuild)


def run_session(
    session: Session,
    folder: Path,
    environ: Mapping[str, str],
    observer: Observer,
    rebuild: bool = False,
    progress: bool = True,
) -> Session:
    """Run what a session still lacks, write ab.json into its folder after each run, and return the updated session.

    progress: show a line before each run, and after each block.

    Raises GbenchError: a run failed or was stopped, or the record of an earlier run is missing. All measurements so far
    are in ab.json.
    """
    for run in session.used:
        _record(run)  # report a missing record now, not after the last run
    for path in _lost(session, folder):
        wait_for_end(path)
    with _checked_out(session):
        if session.compared is not None and not ended(session):  # before, there was no run script to check
            require_both_possible(session, environ, rebuild)
        return _run_rest(session, folder, environ, observer, rebuild, progress)


def _run_rest(
    session: Session,
    folder: Path,
    environ: Mapping[str, str],
    observer: Observer,
    rebuild: bool,
    progress: bool,
) -> Session:
    metric = metric_named(session.asked.metric)
    while not ended(session):
        begun, side = time.monotonic(), session.next_side
        spec = session.specs[side]
        spec = spec.replaced(run_id=new_run_id(spec.model))
        place = len(session.used) % BLOCK + 1
        took = f"; a run takes {duration(session.wall_s / len(session.runs))}" if session.runs else ""
        block = f"block {session.blocks + 1} of at most {session.asked.max_blocks}"
        if progress:
            observer.line(f"{block}, run {place} of {BLOCK}: {side}, {session.files[side]}{took}")
        first = all(run.side != side for run in session.runs)
        with of_side(side, session.files[side]):
            finished = launch(spec, environ, observer, rebuild and first)
            figure = _figure(session, finished.record, metric, finished.record_path)
        run = SessionRun(
            side=side,
            run_id=spec.run_id,
            run_dir=str(finished.folder.path),
            record=str(finished.record_path),
            figure=figure,
            wall_s=time.monotonic() - begun,
        )
        session = session.replaced(runs=(*session.runs, run))
        ratio = _ratio(session)
        session = session.replaced(ratio=ratio)
        session.write(folder)
        if ratio is not None and place == BLOCK and progress:
            observer.line(_so_far(ratio, session.asked.until_ci))
    return session


def _checked_out(session: Session) -> AbstractContextManager[None]:
    """A context in which the work trees of the session's commits are there."""
    if session.compared is None or ended(session):
        return nullcontext()
    compared = session.compared
    return worktrees(Path(compared.repo), list(compared.commits.values()), Path(compared.folder))


def ended(session: Session) -> bool:
    """Whether the session is over: the interval is narrow enough, or the blocks or the time are used up.

    A block that has begun is always completed.
    """
    if len(session.used) % BLOCK:
        return False
    goal, ratio = session.asked, _ratio(session)
    narrow = ratio is not None and ratio.reached(goal.until_ci)
    late = goal.max_time_s is not None and session.wall_s >= goal.max_time_s
    return narrow or late or session.blocks >= goal.max_blocks


def result_of(session: Session) -> SessionResult:
    """The result of a session's runs so far. Raises UsageError: one of its records is missing."""
    runs = {side: [run for run in session.used if run.side == side] for side in SIDES}
    records = {side: [_record(run) for run in runs[side]] for side in SIDES}
    metric, ratio = metric_named(session.asked.metric), _ratio(session)
    causes = explain(records["A"], records["B"]) if all(records.values()) else []
    limit = Influence.SOFTWARE if ratio is not None and ratio.differs else Influence.WORK
    if session.compared is not None:  # its work trees are known to differ
        causes = [cause for cause in causes if cause.field != VARIABLES]
    return SessionResult(
        metric=metric,
        asked=session.asked,
        ratio=ratio,
        medians={side: median(run.figure for run in runs[side]) for side in SIDES if runs[side]},
        runs={side: len(runs[side]) for side in SIDES},
        units={side: " | ".join(sorted({metric.unit_in(record) for record in records[side]})) for side in SIDES},
        causes=[cause for cause in causes if cause.influence <= limit],
    )


@contextmanager
def of_side(side: Side, file: str) -> Iterator[None]:
    """Name the side in the sentence of an expected error; an interruption belongs to neither side."""
    try:
        yield
    except Interrupted:
        raise
    except GbenchError as error:
        raise type(error)(f"{side} ({file}): {error.what}", error.hint) from error


def _ratio(session: Session) -> BlockRatio | None:
    logs = block_logs([run.figure for run in session.used], [run.side for run in session.used])
    return ratio_of_blocks(logs) if logs else None


def _lost(session: Session, folder: Path) -> list[Path]:
    """Folders of unfinished runs: gbench was killed, and their processes may still be ending."""
    known = {run.run_id for run in session.runs}
    return [path for path in entries(folder, "*") if path.name not in known and path.is_dir() and is_there(path / SPEC)]


def _figure(session: Session, record: Record, metric: ComparedMetric, where: Path) -> float:
    """The figure of a new run. Raises RunFailed: its record has none, or in another unit than that of the first run."""
    reading = metric.read(record)
    if reading is None:
        raise RunFailed(
            f"the record {where} says no {metric.name} above 0",
            "fix the run script, or begin a session with another --metric",
        )
    here = metric.unit_in(record)
    if session.runs and (first := metric.unit_in(_record(session.runs[0]))) != here:
        raise RunFailed(
            f"its {metric.title} is in {here}, that of the first run in {first}: their ratio means nothing",
            "have both run scripts say one unit",
        )
    return reading.value


def _record(run: SessionRun) -> Record:
    try:
        return read_record(Path(run.record))
    except RecordError as error:
        raise UsageError(error.what, "a session needs its records: put it back, or begin a new session") from error


def _so_far(ratio: BlockRatio, until_ci: float) -> str:
    """A line of progress after a block."""
    line = f"after {count(ratio.blocks, 'block')}: B/A {_times(ratio.ratio)}"
    if ratio.half_width is None:
        return line
    least = "" if ratio.blocks >= LEAST_BLOCKS else f", and {LEAST_BLOCKS} blocks at least"
    return f"{line} +-{percent(ratio.half_width)}; wanted +-{percent(until_ci)}{least}"
