"""Energy over a part of a run: by NVML's energy counter, by integration of power without one, or by RAPL on a CPU."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gbench.measure.telemetry.sample_columns import Floats, Readings, Telemetry, Window
from gbench.measure.telemetry.samples import GAP_S
from gbench.runfolder.telemetry_result import DeviceEnergy, Energy, EnergySource

NVML_RANGE_MJ = 2**64  # an unsigned long long
PLAUSIBLE_W = 20_000.0  # of one device; if an overflow of the counter implies more, the counter was reset


class Series(NamedTuple):
    """Values over time, in order of time."""

    times_s: Floats
    values: Floats


def series(times_s: Floats, readings: Readings) -> Series:
    """What was read of one field, over time. times_s: of all samples."""
    return Series(times_s[readings.places], readings.values.astype(np.float64))


def energy(telemetry: Telemetry, window: Window) -> Energy:
    """Energy over `window`, by linear interpolation. The window may extend up to GAP_S / 2 beyond the samples."""
    header = telemetry.header
    if header is None:
        return Energy(None, None, None, [], None)
    devices = [_gpu(telemetry, number, window) for number in range(len(header.gpus))]
    host = _host(telemetry, window) if header.rapl else None
    counted = devices or ([host] if host else [])
    sources = [device.source for device in counted]
    return Energy(
        joules=_total([device.joules for device in counted]),
        source=None if None in sources else min(sources, key=_WEAKEST_FIRST.index, default=None),
        idle_power_w=_total([device.idle_power_w for device in counted]),
        devices=devices,
        host=host,
    )


_WEAKEST_FIRST: list[EnergySource | None] = ["power integration", "nvml counter", "rapl"]


def change(values: Series, window: Window) -> float | None:
    """The increase of a value over `window`; None if the series does not cover it."""
    start, end = _value_at(values, window.start_s), _value_at(values, window.end_s)
    return None if start is None or end is None else end - start


def _gpu(telemetry: Telemetry, number: int, window: Window) -> DeviceEnergy:
    times_s, gpu = telemetry.samples.t_s, telemetry.samples.gpus[number]
    counter = _counter_series(times_s, gpu["energy_mj"], NVML_RANGE_MJ, 1e-3, gpu["power_w"])
    power = series(times_s, gpu["power_w"])

    def over(stretch: Window) -> tuple[float | None, EnergySource | None]:
        if (joules := change(counter, stretch)) is not None:
            return joules, "nvml counter"
        if _has_hole(power, stretch) or (joules := change(_integral(power), stretch)) is None:
            return None, None
        return joules, "power integration"

    return _device(f"gpu {number}", over, window, telemetry.idle)


def _host(telemetry: Telemetry, window: Window) -> DeviceEnergy:
    assert telemetry.header is not None
    counters = [
        _counter_series(telemetry.samples.t_s, counts, domain.range_uj, 1e-6)
        for domain, counts in zip(telemetry.header.rapl, telemetry.samples.rapl_uj, strict=True)
    ]

    def over(stretch: Window) -> tuple[float | None, EnergySource | None]:
        joules = _total([change(counter, stretch) for counter in counters])
        return joules, None if joules is None else "rapl"

    return _device("processors", over, window, telemetry.idle)


def _device(
    name: str,
    over: Callable[[Window], tuple[float | None, EnergySource | None]],
    window: Window,
    idle: Window | None,
) -> DeviceEnergy:
    """The energy of a device. over: its joules over a stretch of time, and their source."""
    joules, source = over(window)
    idle_j = over(idle)[0] if idle is not None else None
    return DeviceEnergy(name, joules, source, None if idle is None or idle_j is None else idle_j / idle.length_s)


def _counter_series(
    times_s: Floats, counts: Readings, counter_range: int, unit_j: float, power_w: Readings | None = None
) -> Series:
    """Joules since the first reading; empty if the counter was reset while the power was unknown.

    A decreasing counter has either overflowed at `counter_range` or was reset; it was reset if an overflow would imply
    an implausible power. Over a reset, integrate the power readings on both sides.
    """
    known_s = times_s[counts.places]
    # The difference in whole counts: a float of 2^64 is thousands of them wide.
    differences = np.diff(counts.values)
    joules = differences.astype(np.float64) * unit_j
    for place in np.flatnonzero(differences < 0).tolist():
        seconds = float(known_s[place + 1] - known_s[place])
        joules[place] = int(differences[place]) % counter_range * unit_j
        if joules[place] > PLAUSIBLE_W * seconds:
            before, after = (power_w and power_w.at(sample) for sample in counts.places[place : place + 2].tolist())
            if before is None or after is None or seconds > GAP_S:
                return Series(np.empty(0), np.empty(0))
            joules[place] = seconds * (before + after) / 2
    return Series(known_s, np.concatenate([np.zeros(min(len(known_s), 1)), np.cumsum(joules)]))


def _integral(values: Series) -> Series:
    """The cumulative integral, by the trapezoidal rule."""
    areas = np.diff(values.times_s) * (values.values[:-1] + values.values[1:]) / 2
    return Series(values.times_s, np.concatenate([np.zeros(min(len(values.times_s), 1)), np.cumsum(areas)]))


def _has_hole(values: Series, window: Window) -> bool:
    """Whether two adjacent points in the window are too far apart to interpolate."""
    before, after = values.times_s[:-1], values.times_s[1:]
    return bool(((after - before > GAP_S) & (after > window.start_s) & (before < window.end_s)).any())


def _value_at(values: Series, t_s: float) -> float | None:
    """The value by linear interpolation, extrapolated by up to GAP_S / 2; None beyond."""
    times_s = values.times_s
    if len(times_s) < 2 or not times_s[0] - GAP_S / 2 <= t_s <= times_s[-1] + GAP_S / 2:
        return None
    right = min(max(int(np.searchsorted(times_s, t_s, "right")), 1), len(times_s) - 1)
    (t0, t1), (y0, y1) = times_s[right - 1 : right + 1].tolist(), values.values[right - 1 : right + 1].tolist()
    return float(y0 + (y1 - y0) * (t_s - t0) / (t1 - t0))


def _total(values: Sequence[float | None]) -> float | None:
    """The sum; None if a value is unknown, or there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
