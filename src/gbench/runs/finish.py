"""What follows a measured run: its record, the record's delivery, and the run's page."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gbench.cndb import log_line, upload
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.cndb.record_file import save, write_record
from gbench.compare.between_runs import find_between_runs, find_one_device
from gbench.errors import InfrastructureError
from gbench.measure.spread import Repeats, RunMean, repeats_variance
from gbench.runfolder.evaluation_result import Evaluation, read_final
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.run_result import RunResult
from gbench.runs.attempt import FAILED_RECORD, OpenRun, complete_without_record, log_path, trained
from gbench.runs.best_peak import with_best_peak
from gbench.runs.evaluate import evaluate_final
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class FinishedRun:
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


def record_run(
    run: OpenRun, summary: RunResult | None, environ: Mapping[str, str], database: upload.Target | None, evaluate: bool
) -> tuple[RunResult | None, Record, Path]:
    """Evaluate a trained run, if asked to, and write its record.

    Returns the statistics, compared with the best peak on record; the record, and its file.

    Raises GbenchError: the run has no valid record, the evaluation failed, or the record can't be written.
    """
    folder, cndb_dir = run.folder, Path(run.spec.cndb_dir)
    history = upload.history_of(database, cndb_dir)
    summary = with_best_peak(run, summary, history)
    record = record_of(folder)  # raises before the evaluation if the run has no valid record
    if evaluate and trained(folder):
        evaluate_final(run, environ)
        record = record_of(folder)

    def warn(text: str) -> None:
        run.log.line(f"warning: {text}")

    found = {
        "between_runs": find_between_runs(record, cndb_dir, history, warn),
        "one_device": find_one_device(record, cndb_dir, history, warn),
    }
    if known := {name: one for name, one in found.items() if one is not None}:
        folder.update_host(**known)
        record = record_of(folder)
    path = _store(record, run.spec, folder, database)
    with suppress(OSError):
        (folder.path / FAILED_RECORD).unlink(missing_ok=True)  # of an earlier attempt
    try:
        folder.update_host(record=str(path))
    except InfrastructureError as error:  # the run is done, and its record is written
        run.log.line(f"warning: {error}")
    for warning in (record.extra or {}).get("warnings", ())[len(folder.host().warnings) :]:
        run.log.line(f"warning: {warning}")
    if summary is not None:  # a run script that measures for itself prints its own line
        run.log.line(log_line.format_line(record))
    return summary, record, path


def publish_run(
    run: OpenRun,
    summary: RunResult | None,
    record: Record,
    record_path: Path,
    database: upload.Target | None,
    on_line: Callable[[str], None],
) -> FinishedRun:
    """`publish` a run; returns all that is known of it."""
    folder, spec = run.folder, run.spec
    stored, not_stored, report = publish(folder, record_path, Path(spec.cndb_dir), database, on_line)
    evaluation = read_final(folder)
    return FinishedRun(folder, log_path(spec), record, record_path, report, summary, evaluation, stored, not_stored)


def _store(record: Record, spec: RunSpec, folder: RunFolder, database: upload.Target | None) -> Path:
    """Queue the record for its database, and write its file, in this order: a stop in between loses nothing.

    If its file can't be written into the CNDB folder, it goes into the run folder, and the error names it.
    """
    if database is not None:
        with suppress(InfrastructureError):  # upload.deliver tries again, and reports it
            upload.queue(Path(spec.cndb_dir), record, database.config, "save")
    try:
        return write_record(record, Path(spec.cndb_dir), spec.run_id)
    except InfrastructureError as error:
        try:
            save(record, kept := folder.path / "record.yaml")
        except InfrastructureError:
            raise complete_without_record(spec, folder, error) from error
        raise InfrastructureError(error.what, f"the record was kept as {kept}; free space, then submit that") from error


def publish(
    folder: RunFolder,
    record_path: Path,
    cndb_dir: Path,
    database: upload.Target | None,
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
