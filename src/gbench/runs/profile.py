"""Profile a run to find where the time of its steps goes; writes no record."""

from collections.abc import Mapping

from gbench.errors import RunFailed
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.step_profile import StepProfile, read_profile
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import Observer, run_to_end
from gbench.runs.prepare import prepare
from gbench.settings.check_spec import check_spec
from gbench.settings.resolve import Resolved
from gbench.settings.spec import ProfileConfig, RunSpec


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


def profile_of(resolved: Resolved, steps: int) -> Resolved:
    """The profile of a run: its last `steps` steps, after the warm-up, under the profiler. Raises UsageError."""
    warmup = max(1, resolved.spec.schedule.warmup_steps)  # the profiler needs one step to warm up
    schedule = {
        "max_steps": warmup + steps,
        "warmup_steps": warmup,
        "max_warmup_steps": None,
        "until_ci": None,
        "max_time_s": None,
        "checkpoint_every": 0,
        "images_every": 0,
    }
    measure = {"peak_seconds": 0.0, "idle_seconds": 0.0}
    spec = resolved.spec.replaced(
        recipe="profile",
        config={"schedule": schedule, "measure": measure},
        profiling=ProfileConfig(steps=steps),
    )
    check_spec(spec)
    names = [*(f"schedule.{key}" for key in schedule), *(f"measure.{key}" for key in measure), "profiling"]
    return Resolved(spec, {**resolved.origins, **dict.fromkeys(names, "profile")})
