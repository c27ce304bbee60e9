"""One measured run, from a resolved spec to a record on disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gbench.base.files import require_writable
from gbench.base.utc import utc_now
from gbench.cndb import log_line, upload
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.cndb.record_file import save, write_record
from gbench.errors import GbenchError, InfrastructureError, RunFailed, UsageError
from gbench.follow.follower import Views, following
from gbench.machine.gpus import find_gpus, require_devices
from gbench.measure.estimate import PROBE_STEPS, Estimate, estimate
from gbench.measure.spread import Repeats, RunMean, repeats_variance
from gbench.measure.summary import summarize_folder
from gbench.preflight.run_checks import CONDITIONS, CheckedRun, judge, require_fit, run_checks
from gbench.runfolder.alarms import read_alarms
from gbench.runfolder.error_file import forget_error
from gbench.runfolder.evaluation_result import Evaluation, read_final
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import AttemptTimes, HostFacts, closed
from gbench.runfolder.log import RunLog
from gbench.runfolder.run_result import RunResult
from gbench.runfolder.step_profile import StepProfile, read_profile
from gbench.runners.plan import Outcome
from gbench.runners.stopping import stoppable
from gbench.runs.evaluate import conclude, why_not
from gbench.runs.prepare import (
    Watcher,
    dataset_facts,
    host_facts,
    locate_dataset,
    make_runner,
    oom_kills,
    require_success,
    with_cache_folder,
)
from gbench.runs.switch_cache import with_tuned_switches
from gbench.settings.spec import RunSpec

NO_VIEWS = Views()


@dataclass(frozen=True)
class Finished:
    """A run that ended well."""

    folder: RunFolder
    log: Path
    record: Record
    record_path: Path
    report: Path
    summary: RunResult | None  # None for a run script that measures for itself
    evaluation: Evaluation | None  # what a convergence run ended with
    stored: str | None  # what the database did with the record; None where none was asked for, or it did not take it
    not_stored: str | None  # why the database did not take the record, and the command that sends it later


@dataclass(frozen=True)
class Ran:
    """A run script that ended well, in a folder that is still taken."""

    folder: RunFolder
    log: RunLog
    log_path: Path
    summary: RunResult | None
    facts: HostFacts
    no_evaluation: str | None  # why a convergence run ends with none


def resume(run_dir: Path, environ: Mapping[str, str], watcher: Watcher, views: Views = NO_VIEWS) -> Finished:
    """Go on with a run that was ended, from its last whole checkpoint, or with its evaluation.

    Raises:
        GbenchError: it has come to its end, runs still, keeps no checkpoints; and as `launch`.
    """
    folder = RunFolder(run_dir.absolute())
    spec = folder.spec()
    if trained(folder):
        if folder.host().record:
            raise UsageError(f"{run_dir} has come to its end", "there is nothing left to resume; start a new run")
    elif not spec.config.schedule.checkpoint_every:
        raise UsageError(f"{run_dir} is a run that keeps no checkpoints", "start a new run")
    return launch(spec, environ, watcher, resumed=folder, views=views)


def launch(
    spec: RunSpec,
    environ: Mapping[str, str],
    watcher: Watcher,
    rebuild: bool = False,
    resumed: RunFolder | None = None,
    views: Views = NO_VIEWS,
) -> Finished:
    """Run `spec` and write its record.

    Args:
        resumed: the run folder to go on in; None: a new one.
        environ: what a local run inherits, and a database config may refer to. rebuild: build the image anew.
        views: what a convergence run is shown in.

    Raises:
        GbenchError: something the run needs is missing, it failed, or it was stopped. What it wrote is kept.
    """
    with stoppable(None):
        database = upload.config_of_run(spec.database, Path(spec.cndb_dir), environ) if spec.database else None
        require_writable(Path(spec.cndb_dir) / "records")  # the record comes last, maybe after hours
        evaluates = spec.recipe == "convergence"
        with _run(spec, environ, watcher, rebuild, resumed, views, evaluates) as ran:
            folder, summary = ran.folder, ran.summary
            record = record_of(folder)  # a run that makes none is not evaluated
            if evaluates and trained(folder) and not ran.no_evaluation:
                conclude(folder, environ, ran.facts, ran.log.line)
                record = record_of(folder)
            record_path = _write_record(record, spec, folder)
            folder.update_host(record=str(record_path))
            if summary is not None:  # a run script of another kind has said its own
                ran.log.line(log_line.format_line(record))
        stored, not_stored, report = publish(folder, record_path, Path(spec.cndb_dir), database, watcher.line)
        evaluation = read_final(folder)
    return Finished(folder, ran.log_path, record, record_path, report, summary, evaluation, stored, not_stored)


def publish(
    folder: RunFolder,
    record_path: Path,
    cndb_dir: Path,
    database: DatabaseConfig | None,
    on_line: Callable[[str], None],
) -> tuple[str | None, str | None, Path]:
    """Do what comes after a record: upload it, where there is a database for it, and write the run's page.

    Returns:
        What the database did with it, or why it did not take it, as `upload.deliver`; and the page.

    Raises:
        GbenchError: someone asked to stop, or the disk refuses the page.
    """
    stored = not_stored = None
    if database:
        stored, not_stored = upload.deliver(record_path, cndb_dir, database, on_line)
    from gbench.reports.run_page import write_report  # loads matplotlib: not before the run

    return stored, not_stored, write_report(folder, folder.path / "report.html")


def probe(
    spec: RunSpec, environ: Mapping[str, str], watcher: Watcher, rebuild: bool = False, views: Views = NO_VIEWS
) -> tuple[Estimate, Path]:
    """How long `spec` would train, by a run of its first steps alone, which makes no record; and its run folder.

    Raises:
        GbenchError: as `launch`, or the run would not have so many steps.
    """
    with stoppable(None), _run(probe_of(spec), environ, watcher, rebuild, views=views) as ran:
        epoch = ran.folder.environment().steps_per_epoch
        times = [step.step_s for step in ran.folder.steps(0)]
    if not epoch or len(times) < PROBE_STEPS:
        raise RunFailed(f"{ran.folder.path} has not the {PROBE_STEPS} steps of a probe", f"read {ran.folder.log}")
    schedule = spec.config.schedule
    steps = schedule.planned_steps(epoch) or schedule.planned_epochs(epoch) * epoch
    found = estimate(times, steps, epoch)
    assert found is not None
    return found, ran.folder.path


def profile(
    spec: RunSpec, environ: Mapping[str, str], watcher: Watcher, rebuild: bool = False
) -> tuple[StepProfile, RunFolder]:
    """Where the time of `spec`, which is a profile's, goes; and its run folder. No record is made.

    Raises:
        GbenchError: as `launch`, or its run script doesn't start gbench's worker.
    """
    with stoppable(None), _run(spec, environ, watcher, rebuild) as ran:
        found = read_profile(ran.folder)
    if found is None:
        raise RunFailed(
            f"the run left no profile in {ran.folder.path}",
            f"RUN_MODEL_FILE {spec.run_model_file} must start gbench's worker, as $TORCHRUN does",
        )
    return found, ran.folder


def probe_of(spec: RunSpec) -> RunSpec:
    """The first steps of `spec` alone: nothing is kept of them, nor measured besides."""
    few = {"max_steps": PROBE_STEPS, "checkpoint_every": 0, "images_every": 0}
    bare = {"peak_seconds": 0.0, "idle_seconds": 0.0}
    config = spec.config
    short = {"schedule": config.schedule.model_copy(update=few), "measure": config.measure.model_copy(update=bare)}
    return spec.model_copy(update={"config": config.model_copy(update=short), "database": None})


@contextmanager
def _run(
    spec: RunSpec,
    environ: Mapping[str, str],
    watcher: Watcher,
    rebuild: bool = False,
    resumed: RunFolder | None = None,
    views: Views = NO_VIEWS,
    evaluates: bool = False,
) -> Iterator[Ran]:
    """Run `spec` to its good end; the run folder is taken, and the log open, while in here. Raises as `launch`.

    Args:
        evaluates: an evaluation is to follow; where it can't, that is warned of before.
    """
    gpus = find_gpus()
    require_devices(spec, gpus)
    spec = locate_dataset(with_tuned_switches(spec, gpus))
    dataset, warnings = dataset_facts(spec)
    spec = with_cache_folder(spec, warnings)
    no_evaluation = why_not(spec) if evaluates else None
    warnings += [no_evaluation] if no_evaluation else []
    runner = make_runner(spec, environ, rebuild)
    folder = resumed or RunFolder.create(spec)
    log_path = Path(spec.logs_dir) / f"{spec.run_id}.log"
    with folder.taken(), RunLog([folder.log, log_path], watcher.line) as log:
        watcher.line(f"run folder {folder.path}")
        for warning in warnings:
            log.line(f"warning: {warning}")
        verdict = judge(run_checks(CheckedRun.of(spec), gpus, CONDITIONS), spec.ignore_check)
        for check in verdict.warnings:
            log.line(f"warning: {check.id}: {check.found}")
        require_fit(verdict)
        runner.prepare(log.line)
        facts = host_facts(spec, gpus, runner, dataset, warnings)
        facts = facts.changed(checks=[check.to_json() for check in verdict.checks])
        begun = AttemptTimes(started_utc=facts.started_utc, started_s=time.perf_counter(), wall_s=None)
        if resumed is not None and trained(resumed):
            _keep_facts(folder, no_evaluation)
            yield Ran(folder, log, log_path, _write_result(folder), facts, no_evaluation)
            return
        earlier = _earlier_attempts(resumed) if resumed else []
        facts = facts.changed(attempts=[*earlier, begun])
        if resumed is not None:
            facts = facts.changed(**_earlier(folder))
        folder.write_host(facts)
        kills = oom_kills()
        outcome: Outcome | None = None
        summary: RunResult | None = None
        try:
            with watcher.running(folder), _shown(folder, spec, views, log) as on_line, stoppable(spec.timeout_s):
                outcome = runner.run(folder.path, on_line)
        finally:
            begun = begun.changed(wall_s=time.perf_counter() - begun.started_s)
            facts = facts.changed(attempts=[*earlier, begun])
            ended = {"ended_utc": utc_now(), "exit_code": outcome.exit_code if outcome else None}
            # a full disk, or a file that is broken, must not hide why the run ended
            with contextlib.suppress(GbenchError):
                warnings = warnings + [str(alarm) for alarm in read_alarms(folder.path)]
            with contextlib.suppress(GbenchError):
                folder.write_host(facts.changed(**ended, warnings=warnings))
            with contextlib.suppress(GbenchError):
                summary = _write_result(folder)
        require_success(folder, outcome, log, kills)
        yield Ran(folder, log, log_path, summary, facts, no_evaluation)


@contextmanager
def _shown(folder: RunFolder, spec: RunSpec, views: Views, log: RunLog) -> Iterator[Callable[[str], None]]:
    """Have a convergence run shown while in here; gives what takes its lines. Beside no other run is anything started:
    it would be in what is measured."""
    if spec.recipe != "convergence":
        yield log.line
        return
    with following(folder, views, log.line) as on_line:
        yield on_line


def _write_record(record: Record, spec: RunSpec, folder: RunFolder) -> Path:
    """Write the record into the CNDB folder; where that fails, into the run folder, and say so."""
    try:
        return write_record(record, Path(spec.cndb_dir), spec.run_id)
    except InfrastructureError as error:
        save(record, kept := folder.path / "record.yaml")
        raise InfrastructureError(error.what, f"the record was kept as {kept}; free space, then submit that") from error


def trained(folder: RunFolder) -> bool:
    """Whether a run's training has come to its end."""
    return folder.environment().ended is not None


def _keep_facts(folder: RunFolder, no_evaluation: str | None) -> None:
    """Leave host.json as the training left it, whose facts stand; but for its end, where gbench was killed just then,
    and for a warning that is new."""
    kept = folder.host()
    if kept.ended_utc is None:
        kept = folder.update_host(attempts=_earlier_attempts(folder), ended_utc=utc_now(), exit_code=0)
    if no_evaluation and no_evaluation not in kept.warnings:
        folder.update_host(warnings=[*kept.warnings, no_evaluation])


def _earlier_attempts(folder: RunFolder) -> list[AttemptTimes]:
    """The attempts at a run so far, each with its end."""
    ranks = [folder.attempts(rank) for rank in range(folder.spec().world_size)]
    return closed(folder.host().attempts, ranks)


def _earlier(folder: RunFolder) -> dict[str, Any]:
    """What a resumed run keeps of its earlier attempts; their error is no longer the run's."""
    forget_error(folder)
    before = folder.host()
    resumed = [*(before.resumed or []), utc_now()]
    return {"started_utc": before.started_utc or resumed[0], "resumed": resumed}


def repeats_of(runs: list[Finished]) -> Repeats | None:
    """Variance of step times within and between runs of one spec; None where a run script measured for itself."""
    means = []
    for run in runs:
        if run.summary is None:
            return None
        interval = run.summary.throughput_interval
        worth = interval.effective_steps if interval else run.summary.steps
        means.append(RunMean(run.summary.step.mean_s, run.summary.step_variance_s2, worth))
    return repeats_variance(means)


def _write_result(folder: RunFolder) -> RunResult | None:
    """Compute the statistics of whatever the run measured and write result.json."""
    summary = summarize_folder(folder)
    if summary is not None:
        folder.write_result(summary)
    return summary
