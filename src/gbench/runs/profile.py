"""Where the time of a run's steps goes: a run under the profiler, without a record."""

from __future__ import annotations

from collections.abc import Mapping

from gbench.errors import RunFailed
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.step_profile import StepProfile, read_profile
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import Observer, run_to_end
from gbench.runs.prepare import prepare
from gbench.settings.spec import RunSpec


def profile(
    spec: RunSpec, environ: Mapping[str, str], observer: Observer, rebuild: bool = False
) -> tuple[StepProfile, RunFolder]:
    """Run the spec of a profile; gives the profile and its run folder.

    Raises:
        GbenchError: as `launch`; or its run script doesn't start gbench's worker.
    """
    with stoppable(None):
        folder = run_to_end(prepare(spec, environ, rebuild), observer)
        found = read_profile(folder)
    if found is None:
        raise RunFailed(
            f"the run left no profile in {folder.path}",
            f"RUN_MODEL_FILE {spec.run_model_file} must start gbench's worker, as $TORCHRUN does",
        )
    return found, folder
