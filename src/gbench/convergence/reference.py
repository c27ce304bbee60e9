"""A reference: the losses of trusted runs by window, and their recipe.

Each reference is a YAML file in configs/reference/, with window means and their spread, not the log itself.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationError, model_validator

from gbench.base.invalid import first_problem
from gbench.base.paths import project_file
from gbench.base.untrusted import read_yaml
from gbench.convergence.contrasts import Contrast
from gbench.convergence.curves import LOSSES, EpochWindow
from gbench.convergence.seed_spread import WINDOW
from gbench.convergence.tolerance import LogFigure, RunGroup, allowed, exact, log_mean
from gbench.errors import RecordError, UsageError
from gbench.settings.model_config import Frozen

FOLDER = "configs/reference"
BAND_ERROR = 0.01  # share of true reproductions with a mean outside any band of any loss


class LossWindows(Frozen):
    """One loss of one run. Lists have a value per window, as in `EpochWindow`."""

    mean: list[float]
    sd: list[float]
    standard_error: list[float]
    count: list[PositiveInt]
    last_epoch: float
    """Mean of the last epoch."""
    last_epoch_standard_error: float

    @property
    def windows(self) -> list[EpochWindow]:
        return list(map(EpochWindow, self.mean, self.sd, self.standard_error, self.count))

    @property
    def end(self) -> EpochWindow:
        """The last epoch; its spread and count are those of the last window."""
        return EpochWindow(self.last_epoch, self.sd[-1], self.last_epoch_standard_error, self.count[-1])


class ReferenceRun(Frozen):
    source: str
    lines: PositiveInt
    """Number of iterations with losses."""
    losses: dict[str, LossWindows]
    quality: dict[str, float] | None = None
    """Mean metrics over test images: MAE on [-1, 1], PSNR in dB."""


@dataclass(frozen=True)
class Band:
    """The range of a loss's mean over these epochs in a run that reproduces the reference."""

    first_epoch: int
    last_epoch: int
    low: float
    high: float


class Reference(Frozen):
    version: Literal[1] = 1
    model: str
    description: str
    recipe: dict[str, Any]
    """Dotted names of settings, as `recipe.recipe_of` returns them."""
    windows: list[tuple[PositiveInt, PositiveInt]]
    """First and last epoch of each window."""
    quality_images: PositiveInt | None = None
    """The quality is over so many first test images in lexicographic order; None: all."""
    runs: list[ReferenceRun] = Field(min_length=1)

    @model_validator(mode="after")
    def whole(self) -> "Reference":
        """Check that every run has every loss, with a positive mean in every window."""
        for run in self.runs:
            for name in LOSSES:
                if name not in run.losses:
                    raise ValueError(f"{run.source} has no {name}")
                loss = run.losses[name]
                lengths = {len(values) for values in (loss.mean, loss.sd, loss.standard_error, loss.count)}
                if lengths != {count := len(self.windows)}:
                    raise ValueError(f"{run.source}: {name} does not have one value for each of {count} windows")
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

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the spread between its runs."""
        return len(self.runs) - 1

    def window(self, loss: str, number: int) -> RunGroup:
        """The mean of a loss over a window, numbered from 0."""
        return RunGroup.of([log_mean([run.losses[loss].windows[number]]) for run in self.runs])

    def last_epoch(self, loss: str) -> RunGroup:
        return RunGroup.of([log_mean([run.losses[loss].end]) for run in self.runs])

    def contrast(self, contrast: Contrast) -> RunGroup | None:
        """None if it can't be computed for every run."""
        curves = [run.losses[contrast.loss].windows for run in self.runs]
        return RunGroup.of(list(map(contrast.figure, curves))) if all(map(contrast.fits, curves)) else None

    def quality(self, metric: str) -> RunGroup | None:
        """None if no run has it."""
        values = [run.quality[metric] for run in self.runs if run.quality and metric in run.quality]
        return RunGroup.of(list(map(exact, values))) if values else None

    def bands(self, loss: str) -> list[Band]:
        """The bands of a loss for a run with all iterations; a verdict on printed lines has a wider tolerance."""
        bands = []
        for number, (first, last) in enumerate(self.windows):
            trusted = self.window(loss, number)
            run = RunGroup.of([LogFigure(trusted.mean, 0.0, 1)])
            tolerance, _ = allowed(run, trusted, WINDOW[loss], self.band_error)
            bands.append(Band(first, last, math.exp(trusted.mean - tolerance), math.exp(trusted.mean + tolerance)))
        return bands


def references_of(model: str | None) -> dict[Path, Reference]:
    """The references in configs/reference/ for a model; None: for any."""
    references = {path: load_reference(path) for path in sorted(project_file(FOLDER).glob("*.yaml"))}
    return {path: one for path, one in references.items() if model in (None, one.model)}


def load_reference(path: Path) -> Reference:
    """Read and check a reference file. Raises UsageError: missing, not YAML, or not a valid `Reference`."""
    hint = "make it again by gbench converge --add-reference; configs/reference/ shows the form"
    try:
        return Reference.model_validate(read_yaml(path, hint))
    except RecordError as error:
        raise UsageError(f"reference {error.what}", error.hint) from error
    except ValidationError as error:
        raise UsageError(f"reference {path}: {first_problem(error)}", hint) from error
