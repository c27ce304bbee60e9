"""Summarise the telemetry of a run: a pure function of its stream and the measured window."""

import statistics
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import TypeVar

from gbench.measure.telemetry.disturbance import throttle_names
from gbench.measure.telemetry.energy import change
from gbench.measure.telemetry.samples import GAP_S, GpuSample, HostSample, Sample, Telemetry, Window
from gbench.runfolder.telemetry_result import (
    GpuFacts,
    GpuSummary,
    HostSummary,
    MeanAndRange,
    Missing,
    SamplerSummary,
    TelemetrySummary,
)

T = TypeVar("T", int, float)


def summarize(telemetry: Telemetry, window: Window) -> TelemetrySummary:
    """Statistics over the samples within `window`, and what is missing."""
    header, samples = telemetry.header, telemetry.samples
    if header is None:
        return TelemetrySummary([], None, None, telemetry.missing)
    inside = [sample for sample in samples if window.start_s <= sample.t_s <= window.end_s]
    return TelemetrySummary(
        gpus=[_gpu(facts, number, samples, inside, window) for number, facts in enumerate(header.gpus)],
        host=_host(samples, inside, window, header.cpus),
        sampler=_sampler(samples, header.hz),
        missing=telemetry.missing + _holes(telemetry, window),
    )


def _holes(telemetry: Telemetry, window: Window) -> list[Missing]:
    """Missing samples in the window, and a missing or abnormal end of the stream."""
    times = [sample.t_s for sample in telemetry.samples]
    holes = []
    if telemetry.ended is None:
        holes.append(Missing("the stream's end", "the sampler was killed, or still runs", times[-1] if times else None))
    elif telemetry.ended.startswith("failed"):
        holes.append(Missing("sampler", telemetry.ended))
    seen = [window.start_s, *(t_s for t_s in times if window.start_s < t_s < window.end_s), window.end_s]
    holes += [
        Missing("samples", f"none for {later - sooner:.1f} s of the window", sooner)
        for sooner, later in pairwise(seen)
        if later - sooner > GAP_S
    ]
    return holes


def _gpu(
    facts: GpuFacts, number: int, samples: Sequence[Sample], inside: Sequence[Sample], window: Window
) -> GpuSummary:
    gpus = [sample.gpus[number] for sample in inside]
    readings = [(sample.t_s, sample.gpus[number]) for sample in samples]
    foreign = [gpu.foreign for gpu in gpus if gpu.foreign is not None]
    return GpuSummary(
        facts=facts,
        **_spreads(gpus, "utilisation_percent", "sm_mhz", "memory_mhz", "power_w", "temperature_c"),
        memory_peak_bytes=_peak(gpu.memory_used_bytes for gpu in gpus),
        throttle=_throttle_shares(gpus),
        ecc_corrected=_new_errors([(t_s, gpu.ecc_corrected) for t_s, gpu in readings], window),
        ecc_uncorrected=_new_errors([(t_s, gpu.ecc_uncorrected) for t_s, gpu in readings], window),
        pcie_generation=min(_known(gpu.pcie_generation for gpu in gpus), default=None),
        pcie_width=min(_known(gpu.pcie_width for gpu in gpus), default=None),
        foreign=sorted({process for processes in foreign for process in processes}) if foreign else None,
    )


def _host(samples: Sequence[Sample], inside: Sequence[Sample], window: Window, cpus: int | None) -> HostSummary:
    hosts = [sample.host for sample in inside]
    both = [(host.cpu_percent, host.run_cpus) for host in hosts]
    pairs = [(percent, run) for percent, run in both if percent is not None and run is not None]
    others = [max(0.0, percent / 100 * cpus - run) for percent, run in pairs] if cpus else []
    disk = [(sample.t_s, sample.host.disk_read_bytes) for sample in samples]
    return HostSummary(
        **_spreads(hosts, "load_1m", "cpu_percent", "cpu_busiest_percent", "steal_percent", "cpu_mhz"),
        run_cpus=_mean(_known(host.run_cpus for host in hosts)),
        other_cpus=_mean(others),
        memory_peak_bytes=_peak(host.memory_used_bytes for host in hosts),
        rss_peak_bytes=_peak(sample.host.rss_bytes for sample in samples),
        disk_read_bytes=change([(t_s, float(read)) for t_s, read in disk if read is not None], window),
    )


def _sampler(samples: Sequence[Sample], asked_hz: float) -> SamplerSummary:
    gaps = [after.t_s - before.t_s for before, after in pairwise(samples)]
    cpu_s = samples[-1].own_cpu_s - samples[0].own_cpu_s if samples else 0.0
    return SamplerSummary(
        samples=len(samples),
        asked_hz=asked_hz,
        reached_hz=len(gaps) / sum(gaps) if gaps else None,
        longest_gap_s=max(gaps, default=None),
        cpu_share=cpu_s / sum(gaps) if gaps else None,
    )


def _throttle_shares(gpus: Sequence[GpuSample]) -> dict[str, float] | None:
    names = [throttle_names(bits) for bits in _known(gpu.throttle_bits for gpu in gpus)]
    if not names:
        return None
    return {name: sum(name in some for some in names) / len(names) for name in sorted({*chain(*names)})}


def _new_errors(counts: Sequence[tuple[float, int | None]], window: Window) -> int | None:
    """The increase from the last count before the window to the first one after it, or to the nearest available."""
    known = [(t_s, count) for t_s, count in counts if count is not None]
    if not known:
        return None
    before = [count for t_s, count in known if t_s <= window.start_s] or [known[0][1]]
    after = [count for t_s, count in known if t_s >= window.end_s] or [known[-1][1]]
    return after[0] - before[-1]


def _known(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]


def _spreads(readings: Sequence[GpuSample] | Sequence[HostSample], *names: str) -> dict[str, MeanAndRange | None]:
    """Mean and extremes of each of these fields of the readings."""
    known = {name: _known(getattr(reading, name) for reading in readings) for name in names}
    return {
        name: MeanAndRange(statistics.fmean(values), min(values), max(values)) if values else None
        for name, values in known.items()
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _peak(values: Iterable[int | None]) -> int | None:
    return max(_known(values), default=None)
