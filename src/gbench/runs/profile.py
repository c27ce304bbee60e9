"""Profile a run to find where the time of its steps goes; writes no record."""

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
    """Run the spec of a profile; returns the profile and its run folder.

    Raises GbenchError: as `launch`; or the run script doesn't start gbench's worker.
    """
    with stoppable(None):
        folder = run_to_end(prepare(spec, environ, rebuild), observer)
        step_profile = read_profile(folder)
    if step_profile is None:
        raise RunFailed(
            f"the run left no profile in {folder.path}",
            f"RUN_MODEL_FILE {spec.run_model_file} must start gbench's worker, as $WORKER does",
        )
    return step_profile, folder
