"""One measured run, from a resolved spec to a record on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gbench import provenance
from gbench.cndb import logline, upload
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.cndb.recordfile import save, write_record
from gbench.errors import ExitCode, GbenchError, InfrastructureError, UsageError
from gbench.evaluate import conclude, why_not
from gbench.evaluation import Evaluation, read_final
from gbench.files import require_writable
from gbench.host import (
    Watcher,
    dataset_facts,
    host_facts,
    locate_dataset,
    make_runner,
    require_success,
    with_cache_folder,
)
from gbench.measure.spread import Repeats, RunMean, repeats_variance
from gbench.measure.summary import Summary, summarize_folder
from gbench.preflight.checks import CONDITIONS, Wanted, judge, require_fit, run_checks
from gbench.preflight.devices import find_gpus, require_devices
from gbench.runfolder import RunFolder
from gbench.runlog import RunLog
from gbench.runners.plan import Outcome
from gbench.runners.stopping import stoppable
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class Finished:
    """A run that ended well."""

    folder: RunFolder
    log: Path
    record: Record
    record_path: Path
    report: Path
    summary: Summary | None  # None for a run script that measures for itself
    evaluation: Evaluation | None  # what a convergence run ended with
    stored: str | None  # what the database did with the record; None where none was asked for, or it did not take it
    not_stored: str | None  # why the database did not take the record, and the command that sends it later


def resume(run_dir: Path, environ: Mapping[str, str], watcher: Watcher) -> Finished:
    """Go on with a run that was ended, from its last whole checkpoint, or with its evaluation.

    Raises:
        GbenchError: it has come to its end, runs still, keeps no checkpoints; and as `launch`.
    """
    folder = RunFolder(run_dir.absolute())
    spec = folder.spec()
    if trained(folder) and (spec.recipe != "convergence" or why_not(spec) or read_final(folder)):
        raise UsageError(f"{run_dir} has come to its end", "there is nothing left to resume; start a new run")
    if not spec.config.schedule.checkpoint_every:
        raise UsageError(f"{run_dir} is a run that keeps no checkpoints", "start a new run")
    return launch(spec, environ, watcher, resumed=folder)


def launch(
    spec: RunSpec,
    environ: Mapping[str, str],
    watcher: Watcher,
    rebuild: bool = False,
    resumed: RunFolder | None = None,
) -> Finished:
    """Run `spec` and write its record.

    Args:
        resumed: the run folder to go on in; None: a new one.
        environ: what a local run inherits, and a database config may refer to. rebuild: build the image anew.

    Raises:
        GbenchError: something the run needs is missing, it failed, or it was stopped. What it wrote is kept.
    """
    with stoppable(None):
        database = spec.database and upload.config_of_run(spec.database, Path(spec.cndb_dir), environ)
        gpus = find_gpus()
        require_devices(spec, gpus)
        spec = locate_dataset(spec)
        dataset, warnings = dataset_facts(spec)
        spec = with_cache_folder(spec, warnings)
        no_evaluation = why_not(spec) if spec.recipe == "convergence" else None
        warnings += [no_evaluation] if no_evaluation else []
        runner = make_runner(spec, environ, rebuild)
        require_writable(Path(spec.cndb_dir) / "records")  # the record comes last, maybe after hours
        folder = resumed or RunFolder.create(spec)
        log_path = Path(spec.logs_dir) / f"{spec.run_id}.log"
        with folder.taken(), RunLog([folder.log, log_path], watcher.line) as log:
            watcher.line(f"run folder {folder.path}")
            for warning in warnings:
                log.line(f"warning: {warning}")
            verdict = judge(run_checks(Wanted.of(spec), gpus, CONDITIONS), spec.ignore_check)
            for check in verdict.warnings:
                log.line(f"warning: {check.id}: {check.found}")
            require_fit(verdict)
            runner.prepare(log.line)
            facts = host_facts(spec, gpus, runner, dataset, warnings)
            facts["checks"] = [asdict(check) for check in verdict.checks]
            if resumed is not None:
                facts = {**facts, **_earlier(folder)}
            folder.write("host.json", facts)
            outcome = Outcome(ExitCode.OK) if resumed and trained(resumed) else None
            try:
                if outcome is None:
                    with watcher.running(folder), stoppable(spec.timeout_s):
                        outcome = runner.run(folder.path, log.line)
            finally:
                ended = {"ended_utc": provenance.utc_now(), "exit_code": outcome.exit_code if outcome else None}
                with contextlib.suppress(GbenchError):  # a full disk must not hide why the run ended
                    folder.write("host.json", {**facts, **ended})
                    summary = _write_result(folder)
            require_success(folder, outcome, log.reason)
            if spec.recipe == "convergence" and trained(folder) and not no_evaluation:
                conclude(folder, environ, facts, log.line)
            record = record_of(folder)
            record_path = _write_record(record, spec, folder)
            if summary is not None:  # a run script of another kind has said its own
                log.line(logline.format_line(record))
        stored = not_stored = None
        if database:
            stored, not_stored = upload.deliver(record_path, Path(spec.cndb_dir), database, watcher.line)
        from gbench.reports.run_page import write_report  # loads matplotlib: not before the run

        report = write_report(folder, folder.path / "report.html")
    return Finished(folder, log_path, record, record_path, report, summary, read_final(folder), stored, not_stored)


def _write_record(record: Record, spec: RunSpec, folder: RunFolder) -> Path:
    """Write the record into the CNDB folder; where that fails, into the run folder, and say so."""
    try:
        return write_record(record, Path(spec.cndb_dir), spec.run_id)
    except InfrastructureError as error:
        save(record, kept := folder.path / "record.yaml")
        raise InfrastructureError(error.what, f"the record was kept as {kept}; free space, then submit that") from error


def trained(folder: RunFolder) -> bool:
    """Whether a run's training has come to its end."""
    return "ended" in (folder.read("environment.json") or {})


def _earlier(folder: RunFolder) -> dict[str, Any]:
    """What a resumed run keeps of its earlier attempts; their error is no longer the run's."""
    (folder.path / "error.json").unlink(missing_ok=True)
    before = folder.read("host.json") or {}
    resumed = [*before.get("resumed", []), provenance.utc_now()]
    return {"started_utc": before.get("started_utc", resumed[0]), "resumed": resumed}


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


def _write_result(folder: RunFolder) -> Summary | None:
    """Compute the statistics of whatever the run measured and write result.json."""
    summary = summarize_folder(folder)
    if summary is not None:
        folder.write("result.json", asdict(summary))
    return summary
