"""Figures that summarise a whole loss curve; as they are few, each can have a narrow tolerance.

A window of 40 printed lines gives the mean of G_L1 within 3 %, all 800 lines within 0.7 %: contrasts over the whole run
detect a small change everywhere, which no window shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gbench.convergence.curves import EpochWindow
from gbench.convergence.tolerance import LEAST, LogFigure, log_mean, minus

ENOUGH = 1000  # losses in a window from which their spread is reliable


@dataclass(frozen=True)
class Contrast:
    """The mean of a loss over a part of the run, its difference from another part, or the spread of the loss."""

    name: str
    loss: str
    between: float
    """Standard deviation between runs of one recipe (`seed_spread.py`)."""
    over: tuple[float, float]
    """Part of the run: its start and end, as shares of the run."""
    against: tuple[float, float] | None = None
    """The other part, likewise."""
    of: Literal["mean", "spread"] = "mean"
    """`spread`: that of single losses, as a share of the mean of their window."""

    def fits(self, windows: Sequence[EpochWindow]) -> bool:
        """Whether the windows have enough losses: from few skewed losses, the spread is underestimated."""
        return self.of == "mean" or all(window.count >= ENOUGH for window in windows)

    def figure(self, windows: Sequence[EpochWindow]) -> LogFigure:
        if self.of == "spread":
            return _spread(windows)
        whole = _part(windows, self.over)
        return whole if self.against is None else minus(whole, _part(windows, self.against))


def _part(windows: Sequence[EpochWindow], share: tuple[float, float]) -> LogFigure:
    first, last = (round(len(windows) * place) for place in share)
    return log_mean(windows[first : max(last, first + 1)])


def _spread(windows: Sequence[EpochWindow]) -> LogFigure:
    """Logarithm of the root mean square of the windows' relative spreads, with an error from adjacent differences."""
    sds, means = [window.sd for window in windows], [window.mean for window in windows]
    squares = np.square(sds) / np.maximum(np.square(means), LEAST**2)
    mean, error = max(float(squares.mean()), LEAST**2), 1.0
    if len(squares) > 1:
        error = math.sqrt(float(np.mean(np.diff(squares) ** 2)) / 2 / len(squares)) / mean / 2
    return LogFigure(math.log(mean) / 2, error, sum(window.count for window in windows))


WHOLE, FIRST_HALF, SECOND_HALF = (0.0, 1.0), (0.0, 0.5), (0.5, 1.0)
CONTRASTS = (
    Contrast("G_GAN over the whole run", "G_GAN", 0.032, WHOLE),
    Contrast("G_L1 over the whole run", "G_L1", 0.012, WHOLE),
    Contrast("D_real over the whole run", "D_real", 0.037, WHOLE),
    Contrast("D_fake over the whole run", "D_fake", 0.039, WHOLE),
    Contrast("G_GAN, second half to first", "G_GAN", 0.044, SECOND_HALF, FIRST_HALF),
    Contrast("G_L1, second half to first", "G_L1", 0.011, SECOND_HALF, FIRST_HALF),
    Contrast("spread of D_real", "D_real", 0.03, WHOLE, of="spread"),
    Contrast("spread of D_fake", "D_fake", 0.03, WHOLE, of="spread"),
)
