"""Energy over a part of a run: by NVML's energy counter, by integration of power without one, or by RAPL on a CPU."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import inf
from typing import NamedTuple

from gbench.measure.telemetry.samples import GAP_S, Telemetry, Window
from gbench.runfolder.telemetry_result import DeviceEnergy, Energy, EnergySource

Series = list[tuple[float, float]]  # (seconds, value), in order of time

NVML_RANGE_MJ = 2**64  # an unsigned long long
PLAUSIBLE_W = 20_000.0  # of one device; if an overflow of the counter implies more, the counter was reset


class _Reading(NamedTuple):
    t_s: float
    counter: int
    power_w: float | None


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


def change(series: Series, window: Window) -> float | None:
    """The increase of a value over `window`; None if the series does not cover it."""
    start, end = _value_at(series, window.start_s), _value_at(series, window.end_s)
    return None if start is None or end is None else end - start


def _gpu(telemetry: Telemetry, number: int, window: Window) -> DeviceEnergy:
    gpus = [(sample.t_s, sample.gpus[number]) for sample in telemetry.samples]
    readings = [_Reading(t_s, gpu.energy_mj, gpu.power_w) for t_s, gpu in gpus if gpu.energy_mj is not None]
    counter = _counter_series(readings, NVML_RANGE_MJ, unit_j=1e-3)
    power = [(t_s, gpu.power_w) for t_s, gpu in gpus if gpu.power_w is not None]

    def over(stretch: Window) -> tuple[float | None, EnergySource | None]:
        if (joules := change(counter, stretch)) is not None:
            return joules, "nvml counter"
        if _has_hole(power, stretch) or (joules := change(_integral(power), stretch)) is None:
            return None, None
        return joules, "power integration"

    return _device(f"gpu {number}", over, window, telemetry.idle)


def _host(telemetry: Telemetry, window: Window) -> DeviceEnergy:
    assert telemetry.header is not None
    counters = []
    for number, domain in enumerate(telemetry.header.rapl):
        counts = [(sample.t_s, sample.rapl_uj[number]) for sample in telemetry.samples]
        readings = [_Reading(t_s, count, None) for t_s, count in counts if count is not None]
        counters.append(_counter_series(readings, domain.range_uj, unit_j=1e-6))

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


def _counter_series(readings: Sequence[_Reading], counter_range: int, unit_j: float) -> Series:
    """Joules since the first reading; empty if the counter was reset while the power was unknown.

    A decreasing counter has either overflowed at `counter_range` or was reset; it was reset if an overflow would imply
    an implausible power. Over a reset, integrate the power readings on both sides.
    """
    total_j = 0.0
    series = [(reading.t_s, 0.0) for reading in readings[:1]]
    for before, after in pairwise(readings):
        seconds = after.t_s - before.t_s
        # The difference in whole counts: a float of 2^64 is thousands of them wide.
        joules = (after.counter - before.counter) % counter_range * unit_j
        if after.counter < before.counter and joules > PLAUSIBLE_W * seconds:
            if before.power_w is None or after.power_w is None or seconds > GAP_S:
                return []
            joules = seconds * (before.power_w + after.power_w) / 2
        total_j += joules
        series.append((after.t_s, total_j))
    return series


def _integral(series: Series) -> Series:
    """The cumulative integral, by the trapezoidal rule."""
    areas = [(t1 - t0) * (y0 + y1) / 2 for (t0, y0), (t1, y1) in pairwise(series)]
    return list(zip((t for t, _ in series), accumulate(areas, initial=0.0), strict=False))


def _has_hole(series: Series, window: Window) -> bool:
    """Whether two adjacent points in the window are too far apart to interpolate."""
    return any(t1 - t0 > GAP_S and t1 > window.start_s and t0 < window.end_s for (t0, _), (t1, _) in pairwise(series))


def _value_at(series: Series, t_s: float) -> float | None:
    """The value by linear interpolation, extrapolated by up to GAP_S / 2; None beyond."""
    if len(series) < 2 or not series[0][0] - GAP_S / 2 <= t_s <= series[-1][0] + GAP_S / 2:
        return None
    right = min(max(bisect_right(series, (t_s, inf)), 1), len(series) - 1)
    (t0, y0), (t1, y1) = series[right - 1], series[right]
    return y0 + (y1 - y0) * (t_s - t0) / (t1 - t0)


def _total(values: Sequence[float | None]) -> float | None:
    """The sum; None if a value is unknown, or there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
