"""One evaluation, from a resolved spec to figures and a gallery; and the one that a convergence run ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gbench.base.utc import utc_now
from gbench.datasets.layout import phase_images
from gbench.errors import InfrastructureError
from gbench.machine.gpus import find_gpus
from gbench.runfolder.checkpoints import choose
from gbench.runfolder.evaluation_result import Evaluation, final_of, read_evaluation
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.log import RunLog
from gbench.runners.stopping import stoppable
from gbench.runs.prepare import Watcher, locate_dataset, make_runner
from gbench.runs.unmeasured import carry_out, run_aside
from gbench.settings import evaluation_spec as settings
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class Evaluated:
    """An evaluation that ended well."""

    folder: RunFolder
    evaluation: Evaluation
    gallery: Path


def evaluate(spec: RunSpec, environ: Mapping[str, str], watcher: Watcher, rebuild: bool = False) -> Evaluated:
    """Evaluate the checkpoint that the spec names, into a folder of its own.

    Args:
        environ: what a local run inherits. rebuild: build the image anew.

    Raises:
        GbenchError: something it needs is missing, it failed, or it was stopped. What it wrote is kept.
    """
    with stoppable(None):
        return _evaluated(run_aside(spec, find_gpus(), environ, watcher, rebuild))


def conclude(run: RunFolder, environ: Mapping[str, str], facts: HostFacts, on_line: Callable[[str], None]) -> None:
    """The evaluation that a convergence run ends with; one that was ended before its end begins anew.

    Args:
        facts: the run's host.json.

    Raises:
        GbenchError: it failed, or was stopped.
    """
    folder = final_of(run)
    if read_evaluation(folder) is not None:
        return
    trained = run.spec()
    checkpoint, _ = choose(run)
    spec = locate_dataset(settings.final_of(trained, checkpoint, folder.path, environ))
    folder = RunFolder.create(spec, anew=True)
    on_line(f"evaluating {checkpoint.name} on the test split")
    with RunLog([folder.log], on_line) as log:
        runner = make_runner(spec, environ, rebuild=False)
        runner.prepare(log.line)
        carry_out(folder, runner, facts.changed(started_utc=utc_now()), log)
    _evaluated(folder)


def why_not(spec: RunSpec) -> str | None:
    """Why a convergence run can't end with an evaluation: a warning; None where it can."""
    if not spec.config.schedule.checkpoint_every:
        return "no evaluation at the end: the run keeps no checkpoint (schedule.checkpoint_every is 0)"
    try:
        phase_images(Path(spec.datasets_dir) / spec.dataset_subdir, "test")
    except InfrastructureError as error:
        return f"no evaluation at the end: {error.what}"
    return None


def _evaluated(folder: RunFolder) -> Evaluated:
    """What an evaluation left in its folder, and the gallery made of it."""
    found = read_evaluation(folder)
    if found is None:
        raise InfrastructureError(f"the evaluation left no result in {folder.path}", f"read {folder.log}")
    from gbench.reports.gallery import write_gallery

    return Evaluated(folder, found, write_gallery(found, folder.path / "gallery.html"))
