"""Estimate how long a run would take by running its first steps."""

from collections.abc import Mapping
from pathlib import Path

from gbench.errors import RunFailed
from gbench.follow.follower import Views
from gbench.measure.estimate import PROBE_STEPS, Estimate, estimate
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import NO_VIEWS, Observer, run_to_end
from gbench.runs.prepare import prepare
from gbench.settings.spec import RunSpec


def probe(
    spec: RunSpec, environ: Mapping[str, str], observer: Observer, rebuild: bool = False, views: Views = NO_VIEWS
) -> tuple[Estimate, Path]:
    """Run the first steps of `spec`, without a record; returns the estimate for the whole run, and the run folder.

    Raises GbenchError: as `launch`; or the run stopped before the probe's last step.
    """
    with stoppable(None):
        folder = run_to_end(prepare(probe_of(spec), environ, rebuild), observer, views)
        epoch = folder.environment().steps_per_epoch
        times = folder.steps(0).step_s.tolist()
    if not epoch or len(times) < PROBE_STEPS:
        raise RunFailed(f"{folder.path} stopped before the {PROBE_STEPS} steps of a probe", f"read {folder.log}")
    schedule = spec.config.schedule
    steps = schedule.planned_steps(epoch) or schedule.planned_epochs(epoch) * epoch
    whole = estimate(times, steps, epoch)
    assert whole is not None
    return whole, folder.path


def probe_of(spec: RunSpec) -> RunSpec:
    """`spec` reduced to its first steps: no checkpoints, no images, no measurement of the device."""
    short = {"max_steps": PROBE_STEPS, "checkpoint_every": 0, "images_every": 0}
    bare = {"peak_seconds": 0.0, "idle_seconds": 0.0}
    return spec.replaced(config={"schedule": short, "measure": bare}, database=None)
