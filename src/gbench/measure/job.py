"""Time and energy of a whole convergence job over all attempts: a pure function of its run folder."""

from collections.abc import Sequence

import numpy as np

from gbench.measure.spread import total
from gbench.measure.telemetry.energy import energy
from gbench.measure.telemetry.sample_columns import Telemetry, Window
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import closed
from gbench.runfolder.run_result import Job
from gbench.runfolder.step_columns import AttemptSteps, steps_that_count
from gbench.runfolder.telemetry_result import EnergySource


def job_of(folder: RunFolder, ranks: Sequence[Sequence[AttemptSteps]], telemetry: Sequence[Telemetry]) -> Job | None:
    """The totals of a run folder's job; None if nothing was trained, or the length of an epoch is unknown.

    ranks: the steps of each rank, by attempt. telemetry: of every attempt.

    Raises InfrastructureError: a broken file.
    """
    steps_per_epoch = folder.environment().steps_per_epoch
    counted = [steps_that_count(rank) for rank in ranks]
    if not steps_per_epoch or not all(counted):
        return None
    training_s = max(total(np.concatenate([one.steps.step_s for one in rank])) for rank in ranks)
    counted_s = max(total(steps.step_s) for steps in counted)
    epochs = min(len(steps) for steps in counted) / steps_per_epoch
    attempts = closed(folder.host().attempts, ranks)
    walls = [attempt.wall_s for attempt in attempts if attempt.wall_s is not None]
    joules, source = _energy(ranks[0], telemetry)
    return Job(
        epochs=epochs,
        attempts=max(1, len(attempts)),
        wall_s=sum(walls) if walls else None,
        training_s=training_s,
        redone_s=training_s - counted_s,
        epochs_per_hour=epochs / counted_s * 3600,
        joules=joules,
        energy_source=source,
    )


def _energy(
    attempts: Sequence[AttemptSteps], telemetry: Sequence[Telemetry]
) -> tuple[float | None, EnergySource | None]:
    """Joules of the training over all attempts, and the source of the last one; None if any attempt's is unknown."""
    total, source, left = 0.0, None, iter(telemetry)
    for attempt in attempts:
        if not attempt.steps:
            continue
        # both streams have the same clock and order; an attempt may lack steps or samples
        used = next(
            (one for one in (energy(t, Window.of(attempt.steps)) for t in left) if one.joules is not None), None
        )
        if used is None or used.joules is None:
            return None, None
        total, source = total + used.joules, used.source
    return total, source
