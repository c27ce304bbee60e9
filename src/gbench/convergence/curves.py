"""Loss curves, and those of a run folder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbench.runfolder.folder import RunFolder

Floats = NDArray[np.float64]
LOSSES = ("G_GAN", "G_L1", "D_real", "D_fake")


@dataclass(frozen=True)
class EpochWindow:
    """One loss over one window of epochs."""

    mean: float
    sd: float
    """Of single losses."""
    standard_error: float
    """Of the mean."""
    count: int


def whole(windows: Sequence[EpochWindow | None]) -> list[EpochWindow]:
    """The windows; empty if one is missing."""
    known = [window for window in windows if window is not None]
    return known if len(known) == len(windows) else []


@dataclass(frozen=True)
class Curves:
    """Losses in order; `epochs[i]` is the epoch, from 1, of `losses[name][i]`."""

    epochs: NDArray[np.int64]
    losses: dict[str, Floats]

    @property
    def last_epoch(self) -> int:
        """The last epoch with a loss; 0 if there is none."""
        return int(self.epochs[-1]) if len(self.epochs) else 0

    def window(self, loss: str, first: int, last: int, share: float | None = None) -> EpochWindow | None:
        """One loss over the epochs `first` to `last`; None if one of them has no value.

        Adjacent iterations are correlated, and an epoch draws its images without replacement. So if epochs have enough
        values, the standard error of the mean is computed from the spread of the epochs' means about their trend.

        share: spread of single losses as a share of their mean, estimated from more than this window.
        """
        inside = (self.epochs >= first) & (self.epochs <= last)
        values, epochs = self.losses[loss][inside], self.epochs[inside]
        counts = np.bincount(epochs - first, minlength=last - first + 1) if len(values) else np.zeros(1)
        if len(values) < 2 or not counts.all():
            return None
        mean, sd = float(values.mean()), float(values.std(ddof=1))
        error = max(sd, (share or 0.0) * mean) / math.sqrt(len(values))
        if len(counts) >= 5 and counts.min() >= 20:
            means = np.bincount(epochs - first, weights=values) / counts
            # Differences of adjacent means: a trend within the window must not count as error.
            error = math.sqrt(float(np.mean(np.diff(means) ** 2)) / 2 / len(counts))
        return EpochWindow(mean, sd, error, len(values))

    def windows(self, loss: str, places: Sequence[tuple[int, int]]) -> list[EpochWindow | None]:
        """One loss over windows of epochs (first and last epoch of each).

        Losses of D are skewed: a window of few lines without a large one has too small a mean, and far too small a
        spread. So the error of a window's mean uses the relative spread over all windows if that is larger.
        """
        alone = [self.window(loss, first, last) for first, last in places]
        squares = [(one.sd / one.mean) ** 2 for one in alone if one is not None and one.mean > 0]
        share = math.sqrt(sum(squares) / len(squares)) if squares else None
        return [self.window(loss, first, last, share) for first, last in places]


def of_run(folder: RunFolder) -> Curves:
    """Every iteration that all ranks of a run completed, with losses averaged over ranks.

    Raises InfrastructureError: not a run folder, or a broken one.
    """
    ranks = folder.ranks()
    common = min(map(len, ranks), default=0)  # a run that was killed leaves its ranks at different steps
    unknown = np.full(common, math.nan)
    losses = {
        name: np.stack([steps.losses.get(name, unknown)[:common] for steps in ranks], axis=1).mean(axis=1)
        for name in LOSSES
    }
    return Curves(ranks[0].epoch[:common], losses)
