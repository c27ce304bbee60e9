"""How far apart runs of one recipe lie that differ in their seed alone, as shares of a loss."""

from __future__ import annotations

from dataclasses import dataclass

from gbench.measure.spread import t_quantile

DEGREES_OF_FREEDOM = 10.0
BAND_ERROR = 0.01  # share of true reproductions that leave any band


@dataclass(frozen=True)
class BetweenRuns:
    """Relative standard deviations of one loss between runs. window: of its mean over a window of epochs."""

    window: float


BETWEEN_RUNS = {
    "G_GAN": BetweenRuns(0.03),
    "G_L1": BetweenRuns(0.03),
    "D_real": BetweenRuns(0.1),
    "D_fake": BetweenRuns(0.1),
}


def band_quantile(comparisons: int) -> float:
    """Standard deviations to either side within which all of so many comparisons stay in all but BAND_ERROR of runs."""
    return t_quantile(1 - BAND_ERROR / 2 / comparisons, DEGREES_OF_FREEDOM)
