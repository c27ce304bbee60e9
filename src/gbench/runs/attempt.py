"""One attempt at a run of any kind: open its folder, run its worker, close it. Writes host.json.

A launch, an evaluation, a tuning, a profile and a probe differ only in their specs, and in what is read afterwards.
"""

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from gbench.base.faults import as_expected
from gbench.base.utc import utc_now
from gbench.errors import GbenchError, Hung, InfrastructureError, Interrupted
from gbench.follow.follower import Views, following
from gbench.machine.gpus import Gpus, find_gpus
from gbench.preflight.rule import CheckedRun
from gbench.preflight.run_checks import (
    BOUNDS,
    CONDITIONS,
    ignores_bounds,
    of_severity,
    require_fit,
    run_checks,
    with_errors_ignored,
)
from gbench.preflight.smoke_rules import SMOKE
from gbench.runfolder.alarms import read_alarms
from gbench.runfolder.error_file import forget_error, mark_unwritten_end, write_error
from gbench.runfolder.folder import HOST, RunFolder
from gbench.runfolder.host_facts import AttemptTimes, CheckFacts, HostFacts, closed
from gbench.runfolder.log import RunLog
from gbench.runfolder.node_facts import with_node_facts
from gbench.runfolder.run_result import RunResult
from gbench.runners.cluster_job import job_of_its_own
from gbench.runners.plan import Outcome, Runner
from gbench.runners.stopping import stoppable
from gbench.runs.outcome import oom_kills, require_success
from gbench.runs.prepare import Prepared
from gbench.runs.smoke_gpus import smoke_of_run
from gbench.settings.spec import RunSpec

NO_VIEWS = Views()
FAILED_RECORD = "failed.yaml"  # in the folder of a run that failed
UNMEASURED = ("evaluation", "tuning", "fleet")  # recipes that check bounds only, and write no log in `logs/`


class Observer(Protocol):
    """Shows the progress of runs."""

    def line(self, text: str) -> None:
        """Show one line."""

    def running(self, folder: RunFolder) -> AbstractContextManager[None]:
        """A context in which the worker of `folder` runs."""


@dataclass
class OpenRun:
    """A run folder that this process holds, with its log open."""

    spec: RunSpec
    folder: RunFolder
    log: RunLog
    runner: Runner
    facts: HostFacts
    began_s: float = field(default_factory=time.monotonic)
    """From here on --timeout counts: over the training and its evaluation."""
    collect: Callable[[], None] = lambda: None
    """Collects what other nodes have of a run that went well, before its statistics are computed."""


def log_path(spec: RunSpec) -> Path:
    """Path of the run's log outside its folder."""
    return Path(spec.logs_dir) / f"{spec.run_id}.log"


def trained(folder: RunFolder) -> bool:
    return folder.environment().ended is not None


@contextmanager
def begin(prepared: Prepared, observer: Observer, resumed: RunFolder | None = None) -> Iterator[OpenRun]:
    """Create and lock the run folder, or lock `resumed`; check the machine; prepare the image.

    Raises GbenchError: the folder is in use or can't be written, the machine is unfit, or the image can't be prepared.
    """
    spec, measured = prepared.spec, prepared.spec.recipe not in UNMEASURED
    folder = resumed or RunFolder.create(spec)
    try:
        with folder.taken(), RunLog([folder.log, log_path(spec)] if measured else [folder.log], observer.line) as log:
            observer.line(f"{'run' if measured else spec.recipe} folder {folder.path}")
            for warning in prepared.warnings:
                log.line(f"warning: {warning}")
            checks = [] if spec.on_cluster else checks_here(spec, prepared.gpus, log.line)
            prepared.runner.prepare(log.line)
            checks += _smoke(prepared, folder, log)
            yield OpenRun(spec, folder, log, prepared.runner, prepared.host_facts().changed(checks=checks))
    except Exception as error:
        if not folder.has(HOST):  # it was stopped, or failed, before its worker started
            now, why = utc_now(), None if isinstance(error, Interrupted) else str(as_expected(error) or repr(error))
            facts = HostFacts(started_utc=now, ended_utc=now, command_line=spec.command_line, failure=why)
            with contextlib.suppress(GbenchError):
                folder.write_host(facts)
        raise


@contextmanager
def take_up(folder: RunFolder, runner: Runner, observer: Observer) -> Iterator[OpenRun]:
    """Lock the folder of a run whose job goes on without its gbench.

    Raises GbenchError: the folder is in use, or can't be written.
    """
    spec = folder.spec()
    with folder.taken(), RunLog([folder.log, log_path(spec)], observer.line) as log:
        observer.line(f"run folder {folder.path}")
        yield OpenRun(spec, folder, log, runner, folder.host())


def note_start(run: OpenRun, resumed: bool = False) -> None:
    """Write to host.json that the run starts, or is resumed."""
    spec, folder = run.spec, run.folder
    if spec.recipe not in UNMEASURED:
        times = AttemptTimes(started_utc=run.facts.started_utc, started_s=time.perf_counter(), wall_s=None)
        run.facts = run.facts.changed(attempts=[*(_earlier_attempts(folder) if resumed else []), times])
    if resumed:
        before = folder.host()
        times_resumed = [*(before.resumed or []), utc_now()]
        run.facts = run.facts.changed(started_utc=before.started_utc or times_resumed[0], resumed=times_resumed)
    forget_error(folder)
    folder.write_host(run.facts)


def run_worker(run: OpenRun, running: AbstractContextManager[None], views: Views = NO_VIEWS) -> RunResult | None:
    """Run the worker to its end within `running`, and close the run folder, even if it fails or is stopped.

    Returns the statistics of the steps; None for a run without recorded steps, or whose job goes on. Raises
    GbenchError: why it failed.
    """
    spec, folder = run.spec, run.folder
    kills = None if spec.on_cluster else oom_kills()  # of this host's kernel
    outcome: Outcome | None = None
    failure: Exception | None = None
    try:
        with running, _followed(run, views) as on_line, stoppable(spec.timeout_s, run.began_s):
            outcome = run.runner.run(folder.path, on_line)
        require_success(folder, outcome, run.log, kills)
        run.collect()
    except Interrupted:
        raise
    except Exception as error:
        failure = error
        if isinstance(error, Hung):  # which no rank could say
            with contextlib.suppress(GbenchError):
                write_error(folder, error)
        raise
    finally:
        goes_on = spec.on_cluster and job_of_its_own(folder.path) is not None
        summary, not_written = (None, None) if goes_on else close(run, outcome, failure)
    if not_written is not None and spec.recipe not in UNMEASURED and spec.profiling is None:
        raise complete_without_record(spec, folder, not_written)
    return summary


def complete_without_record(spec: RunSpec, folder: RunFolder, why: GbenchError) -> InfrastructureError:
    """The error of a run that is complete, and whose end or record can't be written."""
    resumable = spec.config.schedule.checkpoint_every
    then = folder.resume_command if resumable else shlex.join(["gbench", "cndb", "submit", str(folder.path)])
    remedy = why.hint.partition(",")[0]
    return InfrastructureError(why.what, f"the run is complete: {remedy}, then make its record by {then}")


def run_to_end(prepared: Prepared, observer: Observer, views: Views = NO_VIEWS) -> RunFolder:
    """Begin, run and close a new run; returns its closed folder. Raises as `begin` and `run_worker`."""
    with begin(prepared, observer) as run:
        note_start(run)
        run_worker(run, observer.running(run.folder), views)
    return run.folder


def close_trained(folder: RunFolder, warning: str | None) -> RunResult | None:
    """Close a run whose training has ended, however its script did: keep the training's facts; add a missing end, and
    a warning."""
    kept = folder.host()
    forget_error(folder)
    folder.update_host(
        attempts=_earlier_attempts(folder),
        ended_utc=kept.ended_utc or utc_now(),  # None: gbench was killed just then
        exit_code=0,
        failure=None,
        warnings=list(dict.fromkeys((*kept.warnings, *([warning] if warning else [])))),
    )
    return _write_result(folder)


def bounds_of(spec: RunSpec) -> list[CheckFacts]:
    """What a run takes of this machine: the checks that protect it from the run. A cluster's job checks its nodes."""
    if spec.on_cluster:
        return []
    return list(run_checks(CheckedRun.of(spec, rank_gib), find_gpus(), BOUNDS))


def rank_gib(spec: RunSpec) -> float | None:
    """How much memory a rank needs, as `rank_memory.rank_gib`."""
    from gbench.pix2pix.step import rank_memory  # loads torch, which most commands do without

    return rank_memory.rank_gib(spec)


def checks_here(spec: RunSpec, gpus: Gpus, say: Callable[[str], None]) -> list[CheckFacts]:
    """Check what this machine bears and, for a measurement, its condition; say the warnings.

    Raises InfrastructureError, OutOfMemory: it is unfit.
    """
    checks: list[CheckFacts] = []
    for rules in (BOUNDS,) if spec.recipe in UNMEASURED else (BOUNDS, CONDITIONS):
        ignored = ignores_bounds(spec) if rules == BOUNDS else spec.ignore_check
        found = list(run_checks(CheckedRun.of(spec, rank_gib), gpus, rules))
        if ignored:
            found = with_errors_ignored(found)
        checks += _accepted(found, say, ignorable=spec.recipe not in (*UNMEASURED, "profile"))
    return checks


def _smoke(prepared: Prepared, folder: RunFolder, log: RunLog) -> list[CheckFacts]:
    """Test the GPUs of a measurement. Raises InfrastructureError: one of them fails."""
    spec = prepared.spec
    if spec.device == "cpu" or spec.on_cluster or spec.recipe in (*UNMEASURED, "profile"):
        return []
    smoke = smoke_of_run(spec, prepared.gpus, prepared.runner, folder.path, log.line)
    run = replace(CheckedRun.of(spec), smoke=lambda: smoke)
    return _accepted(list(run_checks(run, prepared.gpus, SMOKE)), log.line, smoke=True)


def _accepted(found: list[CheckFacts], say: Callable[[str], None], **kind: bool) -> list[CheckFacts]:
    """The checks, their warnings said. kind: of `require_fit`, and raises as it does."""
    for check in of_severity(found, "warning"):
        say(f"warning: {check.id}: {check.found}")
    require_fit(found, **kind)
    return found


@contextmanager
def _followed(run: OpenRun, views: Views) -> Iterator[Callable[[str], None]]:
    """Yield a function for the worker's lines. Only convergence runs have live views: views disturb measurements."""
    if run.spec.recipe != "convergence":
        yield run.log.line
        return
    with following(run.folder, views, run.log.line) as on_line:
        yield on_line


def close(
    run: OpenRun, outcome: Outcome | None, failure: Exception | None
) -> tuple[RunResult | None, GbenchError | None]:
    """Write the end and the statistics. Returns these, and why they could not be written.

    No GbenchError: a full disk or broken file must not hide why the run ended.
    """
    if run.spec.on_cluster:
        run.facts = with_node_facts(run.facts, run.folder)
    elif run.facts.attempts and run.facts.attempts[-1].wall_s is None:
        *earlier, last = run.facts.attempts
        last = last.changed(wall_s=time.perf_counter() - last.started_s)
        run.facts = run.facts.changed(attempts=[*earlier, last])
    why = failure and str(as_expected(failure) or repr(failure))  # repr: a bug
    ended = run.facts.changed(ended_utc=utc_now(), exit_code=outcome.exit_code if outcome else None, failure=why)
    with contextlib.suppress(GbenchError):
        ended = ended.changed(warnings=[*ended.warnings, *map(str, read_alarms(run.folder.path))])
    try:
        run.folder.write_host(ended)
        return (None if run.spec.node_rank else _write_result(run.folder)), None
    except InfrastructureError as error:
        mark_unwritten_end(run.folder)
        return None, error
    except GbenchError:  # of a recipe that measures nothing
        return None, None


def _write_result(folder: RunFolder) -> RunResult | None:
    """Write the statistics of the run's steps as result.json; None if there are no measured steps."""
    from gbench.measure.summary import summarize_folder  # loads numpy, which the start need not wait for

    summary = summarize_folder(folder)
    if summary is not None:
        folder.write_result(summary)
    return summary


def _earlier_attempts(folder: RunFolder) -> list[AttemptTimes]:
    """The attempts so far, each with its end time filled in."""
    ranks = [folder.attempts(rank) for rank in range(folder.spec().devices_per_node)]
    return closed(folder.host().attempts, ranks)
