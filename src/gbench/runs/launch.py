"""One measured run, from a resolved spec to a record on disk; also a resumed one."""

import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gbench.base.files import require_writable
from gbench.errors import GbenchError, InfrastructureError, Interrupted, UsageError
from gbench.follow.follower import Views
from gbench.preflight.busy import look_ahead
from gbench.runfolder.folder import RunFolder
from gbench.runners.cluster_job import ClusterJob, job_of_its_own
from gbench.runners.following import ClusterRunner, attach_command
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import (
    FAILED_RECORD,
    NO_VIEWS,
    Observer,
    begin,
    close,
    close_trained,
    note_start,
    run_worker,
    take_up,
    trained,
)
from gbench.runs.prepare import database_of, make_runner, prepare
from gbench.settings.spec import RunSpec

if TYPE_CHECKING:
    from gbench.runs.finish import FinishedRun

LOAD_AFTER_S = 0.5  # the worker has started, and loads PyTorch


def resume(run_dir: Path, environ: Mapping[str, str], observer: Observer, views: Views = NO_VIEWS) -> "FinishedRun":
    """Resume a stopped run from its last complete checkpoint or, if it was trained, with its evaluation.

    Raises GbenchError: it is complete, still running, or keeps no checkpoints; and as `launch`.
    """
    folder = RunFolder(run_dir.absolute())
    return launch(require_resumable(folder), environ, observer, resumed=folder, views=views)


def attach(run_dir: Path, environ: Mapping[str, str], observer: Observer) -> "FinishedRun":
    """Take up the job of a run: follow it to its end, and write the record.

    Raises GbenchError: the folder has no such job; and as `launch`.
    """
    folder = RunFolder(run_dir.absolute())
    return launch(require_attachable(folder), environ, observer, resumed=folder, attached=True)


def require_attachable(folder: RunFolder) -> RunSpec:
    """The spec of a run whose job can be taken up. Raises GbenchError: it has none."""
    spec = folder.spec()
    if job_of_its_own(folder.path) is None:
        raise UsageError(f"{folder.path} has no job to take up", "`gbench runs` shows its state")
    return spec


def detach(spec: RunSpec, environ: Mapping[str, str], observer: Observer) -> tuple[RunFolder, ClusterJob]:
    """Submit the job of a run, and leave it. Raises GbenchError: as `launch`, or the cluster refuses it."""
    with stoppable(None):
        database_of(spec, environ)
        require_writable(Path(spec.cndb_dir) / "records")
        prepared = prepare(spec, environ)
        with begin(prepared.with_warning(_without_evaluation(prepared.spec)), observer) as run:
            assert isinstance(run.runner, ClusterRunner)
            note_start(run)
            try:
                return run.folder, run.runner.submit(run.folder.path, run.log.line, detached=True)
            except Exception as error:
                close(run, None, error)
                raise


def require_resumable(folder: RunFolder) -> RunSpec:
    """The spec of a run that can be resumed. Raises GbenchError: it is complete, or keeps no checkpoints."""
    spec = folder.spec()
    if job_of_its_own(folder.path) is not None:
        raise UsageError(f"{folder.path} has a job of its own", f"go on with {attach_command(folder.path)}")
    if spec.runner == "kubernetes":
        raise UsageError(f"{folder.path} is a run of --runner kubernetes, which can't be resumed", "start a new run")
    if trained(folder) and folder.host().record:
        raise UsageError(f"{folder.path} has come to its end", "there is nothing left to resume; start a new run")
    if not trained(folder) and not spec.config.schedule.checkpoint_every:
        raise UsageError(f"{folder.path} is a run that keeps no checkpoints", "start a new run")
    return spec


def launch(
    spec: RunSpec,
    environ: Mapping[str, str],
    observer: Observer,
    rebuild: bool = False,
    resumed: RunFolder | None = None,
    views: Views = NO_VIEWS,
    attached: bool = False,
) -> "FinishedRun":
    """Run `spec` and write its record.

    Args:
        environ: the environment that a local run inherits, and that a database config may refer to.
        resumed: the run folder of earlier attempts; None: a new run.
        attached: its job goes on or has ended by itself, and is taken up.

    Raises GbenchError: something the run needs is missing, it failed, or it was stopped. Its files are kept.
    """
    if spec.nodes > 1 and not spec.on_cluster:
        raise UsageError(
            f"nodes {spec.nodes}: only gbench launch with --runner docker or local runs on several",
            "start it on each of them, in a job with srun: docs/multi-node.md",
        )
    look_ahead()
    own = resumed or RunFolder(spec.run_dir)
    with _naming_the_record(spec, own), _keeping_why_it_failed(own), stoppable(None):
        database = database_of(spec, environ)
        require_writable(Path(spec.cndb_dir) / "records")  # fail now: the record is written last, maybe after hours
        prepared = None if attached else prepare(spec, environ, rebuild)
        no_evaluation = _without_evaluation(prepared.spec if prepared else spec)
        if prepared is None:
            assert resumed is not None
            opened = take_up(resumed, make_runner(spec, environ, rebuild), observer)
        else:
            opened = begin(prepared.with_warning(no_evaluation), observer, resumed)
        with opened as run:
            folder = run.folder
            if resumed is not None and not attached and trained(folder):
                summary = close_trained(folder, no_evaluation)
            else:
                threading.Thread(target=_load_the_rest, daemon=True).start()
                if not attached:
                    note_start(run, resumed is not None)
                summary = run_worker(run, observer.running(folder), views)
            from gbench.runs import finish

            evaluates = spec.recipe == "convergence" and not no_evaluation
            summary, record, record_path = finish.record_run(run, summary, environ, database, evaluates)
        return finish.publish_run(run, summary, record, record_path, database, observer.line)


def _without_evaluation(spec: RunSpec) -> str | None:
    """A warning if a convergence run can't end with an evaluation; else None."""
    if spec.recipe != "convergence":
        return None
    from gbench.runs.evaluate import why_no_evaluation

    return why_no_evaluation(spec)


def _load_the_rest() -> None:
    """Load what follows the run while its worker starts, so that a long run ends with the code that began it."""
    time.sleep(LOAD_AFTER_S)
    import_module("gbench.runs.finish")


@contextmanager
def _keeping_why_it_failed(folder: RunFolder) -> Iterator[None]:
    """Write the record of a run that fails, unless a resumption or a later submission can still make its record.

    A run whose worker ended well can still fail: its losses are NaN, or it left no figures.
    """
    try:
        yield
    except Interrupted:
        raise
    except GbenchError as error:
        with suppress(GbenchError, OSError):
            if not folder.path.exists() or (isinstance(error, InfrastructureError) and trained(folder)):
                raise
            from gbench.cndb.from_run import failed_record
            from gbench.cndb.record_file import save

            if (host := folder.host()).ended_utc is not None and host.failure is None:
                folder.update_host(failure=str(error))
            save(failed_record(folder, str(error)), folder.path / FAILED_RECORD)
        raise


@contextmanager
def _naming_the_record(spec: RunSpec, folder: RunFolder) -> Iterator[None]:
    """Let the sentence of a stop name what is kept, and the command that resumes the run or stores its record."""
    try:
        yield
    except Interrupted as error:
        from gbench.cndb.record_file import records_of
        from gbench.cndb.upload import SPOOL

        cndb_dir, hint = Path(spec.cndb_dir), error.hint
        if folder.path.exists():
            hint = f"its run folder is {folder.path}"
            if spec.config.schedule.checkpoint_every and folder.begun(0):
                hint += f"; go on with {folder.resume_command}"
        if (job := job_of_its_own(folder.path)) is not None:
            state = "goes on" if job.detached else "may still run"
            hint = f"{job.title} {state}; take it up with {attach_command(folder.path)}, or {job.end_command}"
        for path in records_of(cndb_dir, spec.run_id):
            hint = f"the run was complete; its record is {path}"
        if list((cndb_dir / SPOOL).glob(f"{spec.run_id}@*.json")):
            submit = ["gbench", "cndb", "submit", "--pending", "--cndb-dir", str(cndb_dir)]
            hint += f"; store its record: {shlex.join(submit)}"
        raise Interrupted(error.what, hint) from error
