"""One measured run, from a resolved spec to a record on disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from gbench import provenance
from gbench.alarms import read_alarms
from gbench.cndb import logline, upload
from gbench.cndb.config import DatabaseConfig
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.cndb.recordfile import read_record, write_record
from gbench.datasets.layout import find_dataset
from gbench.datasets.manifest import MANIFEST_NAME, dataset_hash, require_intact
from gbench.errors import ExitCode, GbenchError, InfrastructureError, RunFailed, UsageError
from gbench.follow.process import Views, following
from gbench.measure.estimate import PROBE_STEPS, Estimate, estimate
from gbench.measure.job import closed
from gbench.measure.spread import Repeats, RunMean, repeats_variance
from gbench.measure.summary import Summary, summarize_folder
from gbench.preflight.checks import CONDITIONS, Wanted, judge, require_fit, run_checks
from gbench.preflight.devices import Gpus, find_gpus, require_devices, visible
from gbench.runfolder import RunFolder
from gbench.runlog import RunLog
from gbench.runners.local import LocalRunner
from gbench.runners.plan import Outcome, Runner
from gbench.runners.stopping import stoppable
from gbench.settings.spec import RunSpec

NO_VIEWS = Views()


class Watcher(Protocol):
    """Someone who looks on."""

    def line(self, text: str) -> None:
        """A line of progress."""

    def running(self, folder: RunFolder) -> AbstractContextManager[None]:
        """Entered while the run is under way in its folder."""


@dataclass(frozen=True)
class Finished:
    """A run that ended well."""

    folder: RunFolder
    log: Path
    record: Record
    record_path: Path
    report: Path
    summary: Summary | None  # None for a run script that measures for itself
    stored: str | None  # what the database did with the record; None where none was asked for, or it did not take it
    not_stored: str | None  # why the database did not take the record, which waits in the spool


def make_runner(spec: RunSpec, environ: Mapping[str, str], rebuild: bool) -> Runner:
    """The runner that the spec names."""
    if spec.runner == "local":
        return LocalRunner(spec, dict(environ))
    from gbench.runners.docker import DockerRunner

    return DockerRunner(spec, rebuild=rebuild)


@dataclass(frozen=True)
class Ran:
    """A run script that ended well, in a folder that is still taken."""

    folder: RunFolder
    log: RunLog
    log_path: Path
    summary: Summary | None


def resume(run_dir: Path, environ: Mapping[str, str], watcher: Watcher, views: Views = NO_VIEWS) -> Finished:
    """Go on with a run that was ended, from its last whole checkpoint.

    Raises:
        GbenchError: it has come to its end, runs still, keeps no checkpoints; and as `launch`.
    """
    folder = RunFolder(run_dir.absolute())
    spec = folder.spec()
    if "ended" in (folder.read("environment.json") or {}):
        raise UsageError(f"{run_dir} has come to its end", "there is nothing left to resume; start a new run")
    if not spec.config.schedule.checkpoint_every:
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
        database = spec.database and upload.config_of_run(spec.database, Path(spec.cndb_dir), environ)
        with _run(spec, environ, watcher, rebuild, resumed, views) as ran:
            folder, summary = ran.folder, ran.summary
            record = record_of(folder)
            record_path = write_record(record, Path(spec.cndb_dir), spec.run_id)
            if summary is not None:  # a run script of another kind has said its own
                ran.log.line(logline.format_line(record))
        from gbench.reports.run_page import write_report  # loads matplotlib: not before the run

        report = write_report(folder, folder.path / "report.html")
        stored, not_stored = _upload(record_path, spec, database, watcher) if database else (None, None)
    return Finished(folder, ran.log_path, record, record_path, report, summary, stored, not_stored)


def probe(
    spec: RunSpec, environ: Mapping[str, str], watcher: Watcher, rebuild: bool = False, views: Views = NO_VIEWS
) -> tuple[Estimate, Path]:
    """How long `spec` would train, by a run of its first steps alone, which makes no record; and its run folder.

    Raises:
        GbenchError: as `launch`, or the run would not have so many steps.
    """
    with stoppable(None), _run(probe_of(spec), environ, watcher, rebuild, views=views) as ran:
        epoch = (ran.folder.read("environment.json") or {}).get("steps_per_epoch")
        times = [step.step_s for step in ran.folder.steps(0)]
    if not epoch or len(times) < PROBE_STEPS:
        raise RunFailed(f"{ran.folder.path} has not the {PROBE_STEPS} steps of a probe", f"read {ran.folder.log}")
    schedule = spec.config.schedule
    steps = schedule.max_steps or (schedule.epochs + schedule.epochs_decay) * epoch
    found = estimate(times, steps, epoch)
    assert found is not None
    return found, ran.folder.path


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
) -> Iterator[Ran]:
    """Run `spec` to its good end; the run folder is taken, and the log open, while in here. Raises as `launch`."""
    gpus = find_gpus()
    require_devices(spec, gpus)
    spec = locate_dataset(spec)
    dataset, warnings = _dataset_facts(spec)
    runner = make_runner(spec, environ, rebuild)
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
        facts = _host_facts(spec, gpus, runner, dataset, warnings)
        facts["checks"] = [asdict(check) for check in verdict.checks]
        begun = {"started_utc": facts["started_utc"], "started_s": time.perf_counter(), "wall_s": None}
        facts["attempts"] = [*(_earlier_attempts(resumed) if resumed else []), begun]
        if resumed is not None:
            facts = {**facts, **_earlier(folder)}
        folder.write("host.json", facts)
        outcome: Outcome | None = None
        try:
            with watcher.running(folder), _shown(folder, spec, views, log) as on_line, stoppable(spec.timeout_s):
                outcome = runner.run(folder.path, on_line)
        finally:
            begun["wall_s"] = time.perf_counter() - begun["started_s"]
            ended = {"ended_utc": provenance.utc_now(), "exit_code": outcome.exit_code if outcome else None}
            with contextlib.suppress(GbenchError):  # a full disk must not hide why the run ended
                alarms = [str(alarm) for alarm in read_alarms(folder.path)]
                folder.write("host.json", {**facts, **ended, "warnings": warnings + alarms})
                summary = _write_result(folder)
        _require_success(folder, outcome, log.reason)
        yield Ran(folder, log, log_path, summary)


@contextmanager
def _shown(folder: RunFolder, spec: RunSpec, views: Views, log: RunLog) -> Iterator[Callable[[str], None]]:
    """Have a convergence run shown while in here; gives what takes its lines. Beside no other run is anything started:
    it would be in what is measured."""
    if spec.recipe != "convergence":
        yield log.line
        return
    with following(folder, views, log.line) as on_line:
        yield on_line


def _upload(
    record_path: Path, spec: RunSpec, config: DatabaseConfig, watcher: Watcher
) -> tuple[str | None, str | None]:
    """What the database did with the record, or why it did not take it: the run has succeeded in either case."""
    try:
        entry = upload.queue(Path(spec.cndb_dir), read_record(record_path), config, "save")
        action, warning = upload.send(entry, config)
    except InfrastructureError as error:
        return None, str(error)
    if warning is not None:
        watcher.line(f"warning: database {config.shown}: {warning}")
    return f"{action} in {config.shown}", None


def _earlier_attempts(folder: RunFolder) -> list[dict[str, Any]]:
    """The attempts at a run so far, each with its end."""
    ranks = [folder.attempts(rank) for rank in range(folder.spec().world_size)]
    return closed((folder.read("host.json") or {}).get("attempts", []), ranks)


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


def locate_dataset(spec: RunSpec, required: bool = True) -> RunSpec:
    """`spec` with the dataset's place below DATASETS_DIR; unchanged where it is not required and not there.

    Raises:
        GbenchError: it is required, and missing.
    """
    try:
        subdir = find_dataset(Path(spec.datasets_dir), spec.dataset, spec.config.data.phase)
    except GbenchError:
        if required:
            raise
        return spec
    return spec.model_copy(update={"dataset_subdir": subdir})


def _dataset_facts(spec: RunSpec) -> tuple[dict[str, Any], list[str]]:
    """The dataset's identity, checked against its manifest where it has one; and what is to be said about it."""
    root = Path(spec.datasets_dir) / spec.dataset_subdir
    if not (root / MANIFEST_NAME).exists():
        warning = f"{root} has no {MANIFEST_NAME}: its files were hashed for the record, but verified against nothing"
        return {"root": str(root), "sha256": dataset_hash(root), "source": None}, [warning]
    manifest = require_intact(root)
    facts = {"root": str(root), "sha256": manifest.dataset_sha256, "source": manifest.source}
    if manifest.name == spec.dataset:
        return facts, []
    return facts, [f"DATASETS is {spec.dataset}, but {root} says of itself that it is {manifest.name}"]


def _host_facts(
    spec: RunSpec, gpus: Gpus, runner: Runner, dataset: dict[str, Any], warnings: list[str]
) -> dict[str, Any]:
    return {
        "started_utc": provenance.utc_now(),
        "command_line": spec.command_line,
        "working_dir": str(Path.cwd()),
        "where": runner.facts(),
        "hardware": provenance.hardware(visible(gpus, spec.cuda_visible_devices)),
        "dataset": dataset,
        "git": provenance.git(),
        "warnings": warnings,
    }


def _write_result(folder: RunFolder) -> Summary | None:
    """Compute the statistics of whatever the run measured and write result.json."""
    summary = summarize_folder(folder)
    if summary is not None:
        folder.write("result.json", asdict(summary))
    return summary


def _require_success(folder: RunFolder, outcome: Outcome, reason: str | None) -> None:
    """Raise the sentence for a run script that ended badly."""
    if outcome.exit_code == ExitCode.OK:
        return
    folder.raise_worker_error()
    if outcome.out_of_memory:
        raise RunFailed("the container ran out of memory and was killed", f"take a smaller batch; see {folder.log}")
    why = f" ({reason})" if reason else ""
    raise RunFailed(f"the run script ended with exit code {outcome.exit_code}{why}", f"read {folder.log}")
