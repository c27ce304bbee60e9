"""One measured run, from a resolved spec to a record on disk; also a resumed one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gbench.base.files import require_writable
from gbench.cndb import log_line, upload
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.cndb.record_file import records_of, save, write_record
from gbench.errors import InfrastructureError, Interrupted, UsageError
from gbench.follow.follower import Views
from gbench.measure.spread import Repeats, RunMean, repeats_variance
from gbench.runfolder.evaluation_result import Evaluation, read_final
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.run_result import RunResult
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import NO_VIEWS, Observer, begin, close_trained, log_path, run_worker, trained
from gbench.runs.evaluate import evaluate_final, why_no_evaluation
from gbench.runs.prepare import prepare
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class FinishedRun:
    """A successful run and its record."""

    folder: RunFolder
    log: Path
    record: Record
    record_path: Path
    report: Path | None
    """The run's page; None if it could not be written."""
    summary: RunResult | None
    """None for a run script that measures for itself."""
    evaluation: Evaluation | None
    """The evaluation at the end of a convergence run."""
    stored: str | None
    """How the database stored the record; None without a database, or if the upload failed."""
    not_stored: str | None
    """Why the upload failed, and the command that sends the record later."""


def resume(run_dir: Path, environ: Mapping[str, str], observer: Observer, views: Views = NO_VIEWS) -> FinishedRun:
    """Resume a stopped run from its last complete checkpoint or, if it was trained, with its evaluation.

    Raises GbenchError: it is complete, still running, or keeps no checkpoints; and as `launch`.
    """
    folder = RunFolder(run_dir.absolute())
    spec = folder.spec()
    if trained(folder) and folder.host().record:
        raise UsageError(f"{run_dir} has come to its end", "there is nothing left to resume; start a new run")
    if not trained(folder) and not spec.config.schedule.checkpoint_every:
        raise UsageError(f"{run_dir} is a run that keeps no checkpoints", "start a new run")
    return launch(spec, environ, observer, resumed=folder, views=views)


def launch(
    spec: RunSpec,
    environ: Mapping[str, str],
    observer: Observer,
    rebuild: bool = False,
    resumed: RunFolder | None = None,
    views: Views = NO_VIEWS,
) -> FinishedRun:
    """Run `spec` and write its record.

    Args:
        environ: the environment that a local run inherits, and that a database config may refer to.
        resumed: the run folder of earlier attempts; None: a new run.

    Raises GbenchError: something the run needs is missing, it failed, or it was stopped. Its files are kept.
    """
    with _naming_the_record(spec, resumed or RunFolder(spec.run_dir)), stoppable(None):
        database = upload.config_of_run(spec.database, Path(spec.cndb_dir), environ) if spec.database else None
        require_writable(Path(spec.cndb_dir) / "records")  # fail now: the record is written last, maybe after hours
        prepared = prepare(spec, environ, rebuild)
        converges = spec.recipe == "convergence"
        no_evaluation = why_no_evaluation(prepared.spec) if converges else None
        with begin(prepared.with_warning(no_evaluation), observer, resumed) as run:
            folder = run.folder
            if resumed is not None and trained(folder):
                summary = close_trained(folder, no_evaluation)
            else:
                summary = run_worker(run, observer.running(folder), views, resumed is not None)
            record = record_of(folder)  # raises before the evaluation if the run has no valid record
            if converges and trained(folder) and not no_evaluation:
                evaluate_final(run, environ)
                record = record_of(folder)
            record_path = _write_record(record, spec, folder, database)
            folder.update_host(record=str(record_path))
            if summary is not None:  # a run script that measures for itself prints its own line
                run.log.line(log_line.format_line(record))
        stored, not_stored, report = publish(folder, record_path, Path(spec.cndb_dir), database, observer.line)
        evaluation = read_final(folder)
    return FinishedRun(folder, log_path(spec), record, record_path, report, summary, evaluation, stored, not_stored)


def publish(
    folder: RunFolder,
    record_path: Path,
    cndb_dir: Path,
    database: DatabaseConfig | None,
    on_line: Callable[[str], None],
) -> tuple[str | None, str | None, Path | None]:
    """Upload a run's record, if a database is given, and write the run's page.

    Returns how it was stored, or why not, as `upload.deliver`; and the path of the page, None if it can't be written.
    """
    stored = not_stored = None
    if database:
        stored, not_stored = upload.deliver(record_path, cndb_dir, database, on_line)
    from gbench.reports.run_page import write_report  # after the run: it loads matplotlib

    try:
        return stored, not_stored, write_report(folder, folder.path / "report.html")
    except InfrastructureError as error:
        on_line(f"warning: {error}")
        return stored, not_stored, None


def repeats_of(runs: list[FinishedRun]) -> Repeats | None:
    """Variance of step times within and between runs of a spec; None for run scripts that measure for themselves."""
    means = []
    for run in runs:
        if run.summary is None:
            return None
        interval = run.summary.throughput_interval
        worth = interval.effective_steps if interval else run.summary.steps
        means.append(RunMean(run.summary.step.mean_s, run.summary.step_variance_s2, worth))
    return repeats_variance(means)


@contextmanager
def _naming_the_record(spec: RunSpec, folder: RunFolder) -> Iterator[None]:
    """Let the sentence of a stop name what is kept, and the command that resumes the run or stores its record."""
    try:
        yield
    except Interrupted as error:
        cndb_dir, hint = Path(spec.cndb_dir), error.hint
        if spec.config.schedule.checkpoint_every and folder.begun(0):
            hint = f"its run folder is {folder.path}; go on with {folder.resume_command}"
        for path in records_of(cndb_dir, spec.run_id):
            hint = f"the run was complete; its record is {path}"
        if list((cndb_dir / upload.SPOOL).glob(f"{spec.run_id}@*.json")):
            hint += f"; store it: {shlex.join(['gbench', 'cndb', 'submit', '--pending', '--cndb-dir', str(cndb_dir)])}"
        raise Interrupted(error.what, hint) from error


def _write_record(record: Record, spec: RunSpec, folder: RunFolder, database: DatabaseConfig | None) -> Path:
    """Queue the record for its database, and write its file, in this order: a stop in between loses nothing.

    If its file can't be written into the CNDB folder, it goes into the run folder, and the error names it.
    """
    if database is not None:
        with suppress(InfrastructureError):  # upload.deliver tries again, and reports it
            upload.queue(Path(spec.cndb_dir), record, database, "save")
    try:
        return write_record(record, Path(spec.cndb_dir), spec.run_id)
    except InfrastructureError as error:
        save(record, kept := folder.path / "record.yaml")
        raise InfrastructureError(error.what, f"the record was kept as {kept}; free space, then submit that") from error
