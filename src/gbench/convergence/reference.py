"""A reference: what runs that are trusted have come to, window by window, and by which recipe.

One YAML file each in configs/reference/. It holds window means and their spread, never the log itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from gbench.convergence.curves import LOSSES
from gbench.convergence.spread import BETWEEN_RUNS, band_quantile
from gbench.errors import UsageError
from gbench.settings.catalog import first_problem, one_line

Floats = NDArray[np.float64]


class Frozen(BaseModel):
    """Immutable, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LossWindows(Frozen):
    """One loss of one run, a value a window: its mean, the spread of single losses, the mean's standard error."""

    mean: list[float]
    sd: list[float]
    standard_error: list[float]
    last_epoch: float  # mean
    last_epoch_standard_error: float


class ReferenceRun(Frozen):
    """One run that the reference rests on."""

    source: str
    lines: PositiveInt  # losses it was made from, each of one iteration
    losses: dict[str, LossWindows]
    quality: dict[str, float] | None = None  # mean metrics over the test images: MAE on [-1, 1], PSNR in dB


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
    runs: list[ReferenceRun] = Field(min_length=1)

    @model_validator(mode="after")
    def whole(self) -> Reference:
        """Every run has every loss, and every loss a positive mean in every window."""
        for run in self.runs:
            for name in LOSSES:
                if name not in run.losses:
                    raise ValueError(f"{run.source} has no {name}")
                loss = run.losses[name]
                if not len(loss.mean) == len(loss.sd) == len(loss.standard_error) == len(self.windows):
                    raise ValueError(f"{run.source}: {name} has not one value for each of {len(self.windows)} windows")
                if not min(loss.mean) > 0:
                    raise ValueError(f"{run.source}: {name} has a mean that is not positive")
        return self

    @property
    def epochs(self) -> int:
        """The last epoch of the last window."""
        return self.windows[-1][1]

    @cached_property
    def means(self) -> dict[str, Floats]:
        """Window means of each loss, the mean over the runs."""
        return {name: np.mean([run.losses[name].mean for run in self.runs], axis=0) for name in LOSSES}

    @cached_property
    def errors(self) -> dict[str, Floats]:
        """Standard errors of those means from the lines within the runs; what differs between runs is not in them."""
        squares = {name: [np.square(run.losses[name].standard_error) for run in self.runs] for name in LOSSES}
        return {name: np.sqrt(np.sum(squares[name], axis=0)) / len(self.runs) for name in LOSSES}

    def bands(self, loss: str) -> list[Band]:
        """Where the window means of a run that reproduces this reference lie, all of all losses at once in 99 %.

        Raises:
            KeyError: no such loss.
        """
        between = BETWEEN_RUNS[loss].window
        quantile = band_quantile(len(LOSSES) * len(self.windows))
        relative = np.hypot(self.errors[loss] / self.means[loss], between * math.sqrt(1 + 1 / len(self.runs)))
        return [
            Band(first, last, float(mean * math.exp(-quantile * sd)), float(mean * math.exp(quantile * sd)))
            for (first, last), mean, sd in zip(self.windows, self.means[loss], relative, strict=True)
        ]


def load_reference(path: Path) -> Reference:
    """Read and check a reference file.

    Raises:
        UsageError: not there, not YAML, or not of the form above.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"reference {path} can't be read ({one_line(error)})", "see configs/reference/") from error
    if not isinstance(values, dict):
        raise UsageError(f"reference {path} holds no mapping", "see configs/reference/ for the form")
    try:
        return Reference(**values)
    except (ValidationError, TypeError) as error:
        raise UsageError(f"reference {path}: {first_problem(error)}", "see configs/reference/ for the form") from error
