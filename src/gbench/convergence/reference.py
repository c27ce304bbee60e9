"""A reference: the losses of trusted runs, window by window, and their recipe.

One YAML file each in configs/reference/. It holds window means and their spread, never the log itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveInt, ValidationError, model_validator

from gbench.base.invalid import first_problem
from gbench.base.untrusted import read_yaml
from gbench.convergence.curves import LOSSES
from gbench.convergence.seed_spread import WINDOW
from gbench.convergence.tolerance import LogFigure, allowed, log_mean
from gbench.errors import RecordError, UsageError
from gbench.settings.spec import Frozen

BAND_ERROR = 0.01  # share of true reproductions that leave any band of any loss


class LossWindows(Frozen):
    """One loss of one run, a value a window: its mean, the spread of single losses, the mean's standard error, and
    how many losses there are."""

    mean: list[float]
    sd: list[float]
    standard_error: list[float]
    count: list[PositiveInt]
    last_epoch: float  # mean
    last_epoch_standard_error: float


class ReferenceRun(Frozen):
    """One run that the reference rests on."""

    source: str
    lines: PositiveInt  # losses it was made from, each of one iteration
    losses: dict[str, LossWindows]
    quality: dict[str, float] | None = None  # mean metrics over test images: MAE on [-1, 1], PSNR in dB


@dataclass(frozen=True)
class Band:
    """Between `low` and `high` lies the mean of a loss over these epochs, in a run that reproduces the reference."""

    first_epoch: int
    last_epoch: int
    low: float
    high: float


class Reference(Frozen):
    """A whole reference file. recipe: dotted names of settings, as `recipe.recipe_of` gives them."""

    version: Literal[1] = 1
    model: str
    description: str
    recipe: dict[str, Any]
    windows: list[tuple[PositiveInt, PositiveInt]]  # first and last epoch of each
    quality_images: PositiveInt | None = None  # first test images, in lexicographic order, it is over; None: all
    runs: list[ReferenceRun] = Field(min_length=1)

    @model_validator(mode="after")
    def whole(self) -> Reference:
        """Every run has every loss, and every loss a positive mean in every window."""
        for run in self.runs:
            for name in LOSSES:
                if name not in run.losses:
                    raise ValueError(f"{run.source} has no {name}")
                loss = run.losses[name]
                lengths = {len(values) for values in (loss.mean, loss.sd, loss.standard_error, loss.count)}
                if lengths != {len(self.windows)}:
                    raise ValueError(
                        f"{run.source}: {name} does not have one value for each of {len(self.windows)} windows"
                    )
                if not min(loss.mean) > 0:
                    raise ValueError(f"{run.source}: {name} has a mean that is not positive")
        return self

    @property
    def epochs(self) -> int:
        """The last epoch of the last window."""
        return self.windows[-1][1]

    @property
    def band_error(self) -> float:
        """BAND_ERROR for one window of one loss."""
        return BAND_ERROR / (len(LOSSES) * len(self.windows))

    def figures(self, loss: str, window: int) -> list[LogFigure]:
        """Each run's mean of a loss over a window (counted from 0)."""
        losses = [run.losses[loss] for run in self.runs]
        return [log_mean([one.mean[window]], [one.standard_error[window]], [one.count[window]]) for one in losses]

    def bands(self, loss: str) -> list[Band]:
        """Where the means of a loss lie in a run that reproduces this reference and has all iterations, so that its
        own noise is small. A verdict on printed lines alone allows for their noise as well.

        Raises:
            KeyError: no such loss.
        """
        bands = []
        for number, (first, last) in enumerate(self.windows):
            figures = self.figures(loss, number)
            middle = float(np.mean([figure.value for figure in figures]))
            tolerance, _ = allowed([LogFigure(middle, 0.0, 1)], figures, WINDOW[loss], self.band_error)
            bands.append(Band(first, last, math.exp(middle - tolerance), math.exp(middle + tolerance)))
        return bands


def load_reference(path: Path) -> Reference:
    """Read and check a reference file.

    Raises:
        UsageError: missing, not YAML, or not of the form above.
    """
    hint = "configs/reference/ shows the form"
    try:
        return Reference.model_validate(read_yaml(path, hint))
    except RecordError as error:
        raise UsageError(f"reference {error.what}", error.hint) from error
    except ValidationError as error:
        raise UsageError(f"reference {path}: {first_problem(error)}", hint) from error
