"""Summarise the telemetry of a run: a pure function of its stream and the measured window."""

import statistics
from collections.abc import Sequence
from itertools import chain

import numpy as np

from gbench.measure.telemetry.disturbance import throttle_names
from gbench.measure.telemetry.energy import change, series
from gbench.measure.telemetry.sample_columns import Device, Floats, Readings, Samples, Telemetry, Window
from gbench.measure.telemetry.samples import GAP_S
from gbench.runfolder.telemetry_result import (
    GpuFacts,
    GpuSummary,
    HostSummary,
    MeanAndRange,
    Missing,
    SamplerSummary,
    TelemetrySummary,
)


def summarize(telemetry: Telemetry, window: Window) -> TelemetrySummary:
    """Statistics over the samples within `window`, and what is missing."""
    header, samples = telemetry.header, telemetry.samples
    if header is None:
        return TelemetrySummary([], None, None, telemetry.missing)
    inside = samples.within(window.start_s, window.end_s)
    return TelemetrySummary(
        gpus=[_gpu(facts, number, samples, inside, window) for number, facts in enumerate(header.gpus)],
        host=_host(samples, inside, window, header.cpus),
        sampler=_sampler(samples, header.hz),
        missing=telemetry.missing + _holes(telemetry, window),
    )


def _holes(telemetry: Telemetry, window: Window) -> list[Missing]:
    """Missing samples in the window, and a missing or abnormal end of the stream."""
    times = telemetry.samples.t_s
    holes = []
    if telemetry.ended is None:
        last_s = float(times[-1]) if len(times) else None
        holes.append(Missing("the stream's end", "the sampler was killed, or still runs", last_s))
    elif telemetry.ended.startswith("failed"):
        holes.append(Missing("sampler", telemetry.ended))
    within = times[(times > window.start_s) & (times < window.end_s)]
    seen = np.concatenate([[window.start_s], within, [window.end_s]])
    return holes + [
        Missing("samples", f"none for {float(seen[place + 1] - seen[place]):.1f} s of the window", float(seen[place]))
        for place in np.flatnonzero(np.diff(seen) > GAP_S)
    ]


def _gpu(facts: GpuFacts, number: int, samples: Samples, inside: Samples, window: Window) -> GpuSummary:
    gpu, all_of = inside.gpus[number], samples.gpus[number]
    foreign = gpu["foreign"].listed()
    return GpuSummary(
        facts=facts,
        **_spreads(gpu, "utilisation_percent", "sm_mhz", "memory_mhz", "power_w", "temperature_c"),
        memory_peak_bytes=_most(gpu["memory_used_bytes"]),
        throttle=_throttle_shares(gpu["throttle_bits"]),
        ecc_corrected=_new_errors(samples.t_s, all_of["ecc_corrected"], window),
        ecc_uncorrected=_new_errors(samples.t_s, all_of["ecc_uncorrected"], window),
        pcie_generation=min(gpu["pcie_generation"].listed(), default=None),
        pcie_width=min(gpu["pcie_width"].listed(), default=None),
        foreign=sorted({process for processes in foreign for process in processes}) if foreign else None,
    )


def _host(samples: Samples, inside: Samples, window: Window, cpus: int | None) -> HostSummary:
    host, percent, run = inside.host, inside.host["cpu_percent"], inside.host["run_cpus"]
    _, first, second = np.intersect1d(percent.places, run.places, assume_unique=True, return_indices=True)
    others = np.maximum(0.0, percent.values[first] / 100 * cpus - run.values[second]).tolist() if cpus else []
    return HostSummary(
        **_spreads(host, "load_1m", "cpu_percent", "cpu_busiest_percent", "steal_percent", "cpu_mhz"),
        run_cpus=_mean(run.listed()),
        other_cpus=_mean(others),
        memory_peak_bytes=_most(host["memory_used_bytes"]),
        rss_peak_bytes=_most(samples.host["rss_bytes"]),
        disk_read_bytes=change(series(samples.t_s, samples.host["disk_read_bytes"]), window),
    )


def _sampler(samples: Samples, asked_hz: float) -> SamplerSummary:
    gaps = np.diff(samples.t_s).tolist()
    cpu_s = float(samples.own_cpu_s[-1] - samples.own_cpu_s[0]) if len(samples) else 0.0
    return SamplerSummary(
        samples=len(samples),
        asked_hz=asked_hz,
        reached_hz=len(gaps) / sum(gaps) if gaps else None,
        longest_gap_s=max(gaps, default=None),
        cpu_share=cpu_s / sum(gaps) if gaps else None,
    )


def _throttle_shares(bits: Readings) -> dict[str, float] | None:
    if not len(bits.values):
        return None
    masks, counts = np.unique(bits.values, return_counts=True)
    named = [(throttle_names(int(mask)), int(count)) for mask, count in zip(masks, counts, strict=True)]
    return {
        name: sum(count for names, count in named if name in names) / len(bits.values)
        for name in sorted({*chain(*(names for names, _ in named))})
    }


def _new_errors(times: Floats, counts: Readings, window: Window) -> int | None:
    """The increase from the last count before the window to the first one after it, or to the nearest available."""
    if not len(counts.values):
        return None
    known = times[counts.places]
    before = max(int(np.searchsorted(known, window.start_s, "right")) - 1, 0)
    after = min(int(np.searchsorted(known, window.end_s, "left")), len(known) - 1)
    return int(counts.values[after]) - int(counts.values[before])


def _spreads(device: Device, *names: str) -> dict[str, MeanAndRange | None]:
    """Mean and extremes of each of these fields of the readings."""
    known = {name: device[name].listed() for name in names}
    return {
        name: MeanAndRange(statistics.fmean(values), min(values), max(values)) if values else None
        for name, values in known.items()
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _most(readings: Readings) -> int | None:
    return max(readings.listed(), default=None)
