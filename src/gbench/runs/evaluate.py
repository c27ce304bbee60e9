"""One evaluation, from a resolved spec to metrics and a gallery; also the one at the end of a convergence run."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from gbench.base.utc import utc_now
from gbench.datasets.layout import phase_images
from gbench.errors import InfrastructureError
from gbench.runfolder.checkpoints import choose
from gbench.runfolder.evaluation_result import Evaluation, final_of, read_evaluation
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.log import RunLog
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import Observer, OpenRun, note_start, run_to_end, run_worker
from gbench.runs.prepare import locate_dataset, make_runner, prepare
from gbench.settings import evaluation_spec
from gbench.settings.spec import RunSpec


def evaluate(
    spec: RunSpec, environ: Mapping[str, str], observer: Observer, rebuild: bool = False
) -> tuple[Evaluation, RunFolder]:
    """Evaluate the checkpoint that the spec names, in a new folder, with a gallery; returns the evaluation and folder.

    Raises GbenchError: something it needs is missing, it failed, or it was stopped. Its files are kept.
    """
    with stoppable(None):
        folder = run_to_end(prepare(spec, environ, rebuild), observer)
        return _with_gallery(folder), folder


def evaluate_final(training: OpenRun, environ: Mapping[str, str]) -> None:
    """Evaluate the last checkpoint of a convergence run, in the run's folder, unless that was already completed.

    Raises GbenchError: it failed, or was stopped.
    """
    folder = final_of(training.folder)
    if read_evaluation(folder) is not None:
        return
    checkpoint, _ = choose(training.folder)
    trained_spec = training.folder.spec()
    spec = locate_dataset(evaluation_spec.final_of(trained_spec, checkpoint, folder.path, environ))
    spec = spec.replaced(timeout_s=trained_spec.timeout_s)
    folder = RunFolder.create(spec, overwrite=True)
    training.log.line(f"evaluating {checkpoint.name} on the test split")
    with RunLog([folder.log], training.log.line) as log:
        runner = make_runner(spec, environ, rebuild=False)
        runner.prepare(log.line)
        facts = training.facts.changed(started_utc=utc_now())
        run = OpenRun(spec, folder, log, runner, facts, training.began_s)
        note_start(run)
        run_worker(run, nullcontext())
    _with_gallery(folder)


def why_no_evaluation(spec: RunSpec) -> str | None:
    """A warning if a convergence run can't end with an evaluation; else None."""
    if not spec.config.schedule.checkpoint_every:
        return "no evaluation at the end: the run keeps no checkpoint (schedule.checkpoint_every is 0)"
    try:
        phase_images(Path(spec.datasets_dir) / spec.dataset_subdir, "test")
    except InfrastructureError as error:
        return f"no evaluation at the end: {error.what}"
    return None


def _with_gallery(folder: RunFolder) -> Evaluation:
    """Read the evaluation of a folder, and write its gallery."""
    evaluation = read_evaluation(folder)
    if evaluation is None:
        raise InfrastructureError(f"the evaluation left no result in {folder.path}", f"read {folder.log}")
    from gbench.reports.gallery import write_gallery

    write_gallery(evaluation, folder.path / "gallery.html")
    return evaluation
