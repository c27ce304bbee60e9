"""The spec of a profile: a short performance run whose last steps are under the profiler."""

from gbench.settings.check_spec import check_spec
from gbench.settings.resolve import Resolved
from gbench.settings.spec import ProfileConfig


def of_run(resolved: Resolved, steps: int) -> Resolved:
    """The profile of `steps` steps after the warm-up of a run. Raises UsageError."""
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
