"""Figures that summarise a whole loss curve; as they are few, each can have a narrow tolerance.

A window of 40 printed lines gives the mean of G_L1 within 3 %, all 800 lines within 0.7 %: contrasts over the whole run
detect a small change everywhere, which no window shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gbench.convergence.curves import WindowSeries
from gbench.convergence.reference import LossWindows
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

    def fits(self, loss: LossWindows | WindowSeries) -> bool:
        """Whether the windows have enough losses: from few skewed losses, the spread is underestimated."""
        return self.of == "mean" or min(loss.count) >= ENOUGH

    def figure(self, loss: LossWindows | WindowSeries) -> LogFigure:
        """The value of the contrast for a run with these windows."""
        if self.of == "spread":
            return _spread(loss)
        whole = _part(loss, self.over)
        return whole if self.against is None else minus(whole, _part(loss, self.against))


def _part(loss: LossWindows | WindowSeries, share: tuple[float, float]) -> LogFigure:
    first, last = (round(len(loss.mean) * place) for place in share)
    last = max(last, first + 1)
    return log_mean(loss.mean[first:last], loss.standard_error[first:last], loss.count[first:last])


def _spread(loss: LossWindows | WindowSeries) -> LogFigure:
    """Logarithm of the root mean square of the windows' relative spreads, with an error from adjacent differences."""
    squares = np.square(loss.sd) / np.maximum(np.square(loss.mean), LEAST**2)
    mean = max(float(squares.mean()), LEAST**2)
    if len(squares) < 2:
        return LogFigure(math.log(mean) / 2, 1.0, sum(loss.count))
    error = math.sqrt(float(np.mean(np.diff(squares) ** 2)) / 2 / len(squares))
    return LogFigure(math.log(mean) / 2, error / mean / 2, sum(loss.count))


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
