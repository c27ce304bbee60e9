"""Estimate the duration of a run from its first steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

LEFT_OUT, MEASURED = 5, 20  # first steps, which choose kernels and fill caches; steps measured after them
PROBE_STEPS = LEFT_OUT + MEASURED


@dataclass(frozen=True)
class Estimate:
    seconds: float
    epochs: float
    steps: int
    measured_steps: int
    step_s: float
    """Mean of the measured steps, data loading included."""

    def __str__(self) -> str:
        return (
            f"about {duration(self.seconds)} of training for {self.epochs:.4g} "
            f"{'epoch' if self.epochs == 1 else 'epochs'} ({self.steps:,} steps), by {self.measured_steps} steps at "
            f"{self.step_s:.3g} s"
        )


def estimate(step_s: Sequence[float], steps: int, steps_per_epoch: int) -> Estimate | None:
    """Estimate `steps` steps from the times of the first ones (seconds); None if there are fewer than PROBE_STEPS."""
    measured = step_s[LEFT_OUT:PROBE_STEPS]
    if len(measured) < MEASURED:
        return None
    mean_s = fmean(measured)
    return Estimate(mean_s * steps, steps / steps_per_epoch, steps, len(measured), mean_s)


def duration(seconds: float) -> str:
    """A duration in words: `45 s`, `3 min 20 s`, `2 h 40 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"
