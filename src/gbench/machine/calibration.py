"""What `gbench calibrate` measured on this machine: a file a configuration, in `calibrated/` below the cache folder."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import stdev
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gbench.base.files import entries, make_folder, write_atomically
from gbench.base.json_file import read_json
from gbench.base.words import count
from gbench.errors import InfrastructureError
from gbench.settings.model_config import Frozen

FOLDER = "calibrated"
DRAWS = 1000  # from which a rate is counted
AGAIN = "remove it, and run gbench calibrate again"


class CalibratedRun(Frozen):
    throughput: PositiveFloat = Field(allow_inf_nan=False)
    error_share: NonNegativeFloat = Field(allow_inf_nan=False)
    """Standard error from its own steps, as a share of 1."""


class SlowedRuns(Frozen):
    """Runs with a known extra time in each step, and the loss that was measured against plain runs in turn."""

    inserted: float
    """The loss that the extra time makes, as a share of 1."""
    measured: float
    low: float | None
    """Lower end of its 95 % interval, up to `high`; None of one block."""
    high: float | None
    runs: tuple[CalibratedRun, ...]


class GateRates(Frozen):
    """How a gate errs with so many runs a side, or a night."""

    runs: PositiveInt
    false_alarms: float = Field(ge=0, le=1)
    """Share of alarms without a loss."""
    finds: float = Field(ge=0, le=1)
    """The loss that it finds in four of five cases, as a share of 1."""

    def __str__(self) -> str:
        """A part of a sentence."""
        alarms = f"{100 * self.false_alarms:.3g} %" if self.false_alarms else f"below {100 / DRAWS:.3g} %"
        finds, runs = f"{100 * self.finds:.2g} %", count(self.runs, "run")
        return f"on this machine: {alarms} false alarms, finds {finds} with {runs}"


class Calibration(Frozen):
    version: Literal[1] = 1
    key: dict[str, Any]
    """Machine and configuration that it is valid for."""
    title: str
    """Of the configuration."""
    host_name: str
    made_utc: str
    runs: tuple[CalibratedRun, ...] = Field(min_length=4)
    """Plain runs, in the order in which they ran."""
    slowed: tuple[SlowedRuns, ...] = ()
    compare: tuple[GateRates, ...] = ()
    """Of gbench compare, by runs a side, at its default threshold."""
    nightly: tuple[GateRates, ...] = ()
    """Of gbench nightly, by runs a night, on the first night after ten pinned ones."""

    @property
    def run_sd(self) -> float:
        """Standard deviation between runs, as a share of 1."""
        return stdev(math.log(run.throughput) for run in self.runs)

    def write(self, cache_dir: Path) -> Path:
        """Replaces an earlier one of this machine and configuration. Raises InfrastructureError."""
        path = place_of(cache_dir, self.key)
        make_folder(path.parent)
        write_atomically(path, self.model_dump_json(indent=2) + "\n")
        return path


def place_of(cache_dir: Path, key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_dir / FOLDER / f"{digest}.json"


def read_calibration(path: Path) -> Calibration:
    """Raises InfrastructureError: it can't be read, or its content belongs elsewhere."""
    found = read_json(path, Calibration, "a calibration", "run gbench calibrate", AGAIN)
    if path != place_of(path.parents[1], found.key):
        raise InfrastructureError(f"{path} is the calibration of another machine or configuration", AGAIN)
    return found


def calibrations(cache_dir: Path) -> Iterator[Calibration | InfrastructureError]:
    """All that are kept, of any machine; an error for each that can't be used."""
    for path in entries(cache_dir / FOLDER, "*.json"):
        try:
            yield read_calibration(path)
        except InfrastructureError as error:
            yield error
