"""How often the gates err on a machine, and the loss that they find there, from its own runs.

`gbench calibrate` measured runs without a difference between them. Sides and nights are drawn from these: each is a
number of successive runs from a random place, which keeps how runs go together, and no two that are compared share a
run. A loss multiplies all figures of a side, so for each draw the smallest loss that gives an alarm is known from one
judgement; no loss needed is a false alarm.
"""

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from gbench.base.files import is_there
from gbench.cndb.record import Record
from gbench.compare.change import change
from gbench.compare.differences import configuration, machine_key
from gbench.compare.metrics import THROUGHPUT, RunFigure, at
from gbench.compare.verdict import A_LOOK, PLANNED_CHANCE
from gbench.errors import InfrastructureError
from gbench.machine.calibration import DRAWS, CalibratedRun, Calibration, GateRates, place_of, read_calibration
from gbench.measure.nights import ALARM, MIN_NIGHTS, RELEVANT, own_error, shifts_of
from gbench.measure.steady_state import Floats

SEED = 1

Places = NDArray[np.int64]


def key_of(record: Record) -> dict[str, Any] | None:
    """What a calibration of a record's runs is valid for; None if the record doesn't say its machine or its length."""
    machine, schedule = machine_key(record), at(record.extra, "spec", "config", "schedule")
    if machine is None or not isinstance(schedule, dict):
        return None
    env = (record.extra or {}).get("env") or {}
    return {"machine": machine, "configuration": configuration(record), "schedule": schedule, "env": env}


def calibration_of(records: Collection[Record], cache_dir: Path, warn: Callable[[str], None]) -> Calibration | None:
    """The calibration of the machine and configuration that all these records have, if there is one.

    warn: told of one that can't be used.
    """
    keys = [key_of(record) for record in records]
    key = keys[0]
    if key is None or any(other != key for other in keys):
        return None
    path = place_of(cache_dir, key)
    try:
        return read_calibration(path) if is_there(path) else None
    except InfrastructureError as error:
        warn(f"the calibration of this machine is left out: {error}")
        return None


def figures_of(runs: Sequence[CalibratedRun]) -> list[RunFigure]:
    return [RunFigure(run.throughput, run.error_share) for run in runs]


def compare_rates(
    runs: Sequence[CalibratedRun], base: int, new: int, threshold: float, draws: int = DRAWS
) -> GateRates | None:
    """Of gbench compare with so many runs a side. None: too few runs were measured for that."""
    base = min(base, len(runs) - new)
    if base < 1 or new > len(runs) // 2:
        return None
    figures, margin = figures_of(runs), THROUGHPUT.margin(threshold)
    needed = []
    for first, second in zip(*_places(len(runs), [base, new], draws), strict=True):
        one, other = ([figures[place] for place in side] for side in (first, second))
        found = change(one, other, True, [], THROUGHPUT.unknown_sd, figures)
        alarm = max(found.reach(A_LOOK), margin / 2)
        needed.append(found.log + alarm)
    return _rates(new, np.array(needed))


def night_rates(runs: Sequence[CalibratedRun], tonight: int, draws: int = DRAWS) -> GateRates | None:
    """Of the first night of so many runs after MIN_NIGHTS pinned ones. None: too few runs were measured for that."""
    if tonight > len(runs) // 2:
        return None
    throughputs = np.array([run.throughput for run in runs])
    nights = [throughputs[places] for places in _places(len(runs), [tonight] * (MIN_NIGHTS + 1), draws)]
    medians = np.stack([np.log(np.median(night, axis=-1)) for night in nights], axis=-1)
    found = shifts_of(medians[:, 1:], medians[:, :1], own_error(nights[0]))
    alarm = np.maximum(float(stdtrit(found.dof, 1 - ALARM)) * found.error, -math.log1p(-RELEVANT))
    return _rates(tonight, (found.shift + alarm)[:, 0])


def _places(runs: int, counts: Sequence[int], draws: int) -> list[Places]:
    """For each count, that many successive places [draws, count] in a circle of runs, apart from those of the first."""
    rng = np.random.default_rng(SEED)
    own = rng.integers(runs, size=(draws, 1))
    found = [(own + np.arange(counts[0])) % runs]
    for many in counts[1:]:
        apart = counts[0] + rng.integers(runs - counts[0] - many + 1, size=(draws, 1))
        found.append((own + apart + np.arange(many)) % runs)
    return found


def _rates(runs: int, needed: Floats) -> GateRates:
    """needed: logarithms of the losses that give an alarm, one a draw."""
    finds = -math.expm1(-max(float(np.quantile(needed, PLANNED_CHANCE)), 0.0))
    return GateRates(runs=runs, false_alarms=float(np.mean(needed <= 0)), finds=finds)
