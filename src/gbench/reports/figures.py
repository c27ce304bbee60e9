"""The figures of a run page, as text."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from gbench.base.size import size_text
from gbench.base.words import count
from gbench.cndb.log_line import accuracy_text
from gbench.cndb.record import Record
from gbench.convergence.subjects import verdict_of_run
from gbench.measure.summary import printed_means
from gbench.reports.plots import Throughput
from gbench.reports.run_data import RunData
from gbench.reports.text import capitalized, flops, four, label, plain, seconds, utc
from gbench.runfolder.environment_facts import PeakFacts
from gbench.runfolder.evaluation_result import METRICS, read_final
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.run_result import Limits, RunResult
from gbench.runfolder.step_columns import Steps
from gbench.runfolder.telemetry_result import MeanAndRange, TelemetrySummary
from gbench.settings.switches import describe

RANK_COLUMNS = ("rank", "steps", "mean", "median", "p95", "slowest", "data wait")
GPU_COLUMNS = (
    *("GPU", "SM clock, MHz", "power, W", "temperature, °C", "utilisation, %", "memory", "clock reasons"),
    "other processes",
)
# Key of perf_data -> what the throughput counts
DEFINITIONS = {
    "throughput": "end to end",
    "throughput_without_data_img_s": "without data wait",
    "throughput_legacy_img_s": "as launch.sh took it",
    "throughput_clean_img_s": "without throttled steps",
}
LOSS_COLUMNS = ("loss", "measured steps", "of the last epoch")


def headline(run: RunData) -> tuple[str, str]:
    """Throughput and its unit, as in the run's record."""
    if run.reported is not None:
        return headline_of(run.reported)
    return ("", "nothing measured") if run.summary is None else (four(run.summary.throughput_img_s), "img/s")


def headline_of(record: Record) -> tuple[str, str]:
    """Throughput and its unit, from a record."""
    perf = record.perf_data or {}
    throughput = perf.get("throughput")
    if throughput is None:
        return "", "no throughput reported"
    return number(throughput), plain(perf.get("throughput_unit", ""))


def headline_meaning(run: RunData) -> str:
    """What the headline measures."""
    if run.unverified is not None:
        return f"As {run.unverified} says; the raw samples are gone, so it can't be recomputed."
    if run.reported is not None:
        return "As its run script reported it in the benchmark log line, not as gbench measured it."
    if run.summary is None:
        return "The run ended before its first measured step."
    images, time = count(run.summary.images, "image"), seconds(run.summary.wall_s)
    what = capitalized(run.summary.throughput_is)
    return f"{what}: {images} in {time} of synchronised steps, by the slowest rank's clock."


def convergence_headline(run: RunData) -> tuple[str, str, str, str]:
    """The arguments of page.headline for a convergence run: its verdict, its published figures, its throughput."""
    folder = RunFolder(run.path)
    verdict, why = verdict_of_run(folder)
    last = int(run.ranks[0].epoch[-1])
    figures = [f"Epoch {last}, means of its printed lines: {accuracy_text(printed_means(folder))}"]
    if (evaluation := read_final(folder)) is not None:
        known = [
            (name, one.mean) for name, one in evaluation.metrics.items() if name in METRICS and one.mean is not None
        ]
        figures.append(", ".join(f"{name} {four(mean)}" for name, mean in known))
    end_to_end = f", {run.summary.throughput_is}" if run.summary else ""
    return verdict, "", f"{why} Throughput: {' '.join(headline(run))}{end_to_end}.", "; ".join(figures)


def headline_interval(run: RunData) -> str:
    """The headline's confidence interval; empty if the run has none."""
    if run.reported is not None or run.summary is None:
        return ""
    text = "No interval: too few steps"
    if interval := run.summary.throughput_interval:
        ends = f"{four(interval.low)} to {four(interval.high)} (±{interval.half_width_share:.2%})"
        text = f"95 % interval {ends} of this run's steps"
    steady = "" if run.summary.steady_state else "not steady"
    between = run.host.between_runs.text if run.host.between_runs else ""
    return "; ".join(filter(None, (text, between, run.summary.too_few_cycles, steady)))


def measured_on(run: RunData) -> Iterator[tuple[str, str]]:
    """The conditions of the measurement: model, data, devices, precision."""
    yield "Run", run.spec.run_id
    if run.reported is not None:
        yield from record_facts(run.reported)
        return
    yield "Model", run.spec.record_name
    yield "Dataset", run.spec.dataset
    yield "Batch", f"{run.spec.batch_size} in all, {run.spec.batch_per_device} per device"
    yield "Devices", run.devices
    yield "Precision", run.precision
    yield "Profile", describe(run.spec.profile, run.spec.config.speed.on)
    if run.spec.tuned_by is not None and run.spec.tuned_by.ratio is not None:
        by = run.spec.tuned_by
        yield "Tuned", f"{by.ratio:.3f} times as fast as the reference in {by.run_id}, {utc(by.utc)}"
    if run.summary is not None:
        deviation_s = run.summary.step_variance_s2**0.5
        yield "Step", f"{seconds(run.summary.step.median_s)} median, {seconds(deviation_s)} standard deviation"
        yield "Measured", f"{count(run.summary.steps, 'step')} after {run.summary.warmup_steps} of warm-up"


def throughput(summary: RunResult, devices: int, host: HostFacts) -> Iterator[tuple[str, str]]:
    deviation_s = summary.step_variance_s2**0.5
    figure = f"{four(summary.throughput_img_s)} img/s"
    yield capitalized(summary.throughput_is), "; ".join(filter(None, (figure, summary.too_few_cycles)))
    if interval := summary.throughput_interval:
        bounds = f"{four(interval.low)} to {four(interval.high)} img/s (±{interval.half_width_share:.2%})"
        yield (
            "95 % interval of this run's steps",
            f"{bounds}, {interval.method}, blocks of {interval.block_length} steps",
        )
    if (between := host.between_runs) is not None:
        yield "95 % interval between runs", f"{four(between.low)} to {four(between.high)} img/s, {between.text}"
    if text := summary.scaling(host.one_device):
        yield "Scaling", text
    if devices > 1:
        yield "The same, per device", f"{four(summary.throughput_img_s / devices)} img/s"
    yield "Without waiting for data", f"{four(summary.throughput_without_data_img_s)} img/s"
    if summary.throughput_legacy_img_s is not None:
        yield "As launch.sh took it", f"{four(summary.throughput_legacy_img_s)} img/s (steps 3 to 7, data excluded)"
    if summary.disturbance.marked_share is not None:
        yield "Throttled steps", f"{summary.disturbance.marked_share:.1%}"
    if summary.throughput_clean_img_s is not None:
        yield "Without throttled steps", f"{four(summary.throughput_clean_img_s)} img/s"
    yield "Data wait", "; ".join(filter(None, (f"{summary.data_share:.1%} of the time", summary.pace)))
    if summary.data_source_reason is not None:
        yield "Data", f"read as {summary.data_source}: {summary.data_source_reason}"
    yield "Step, mean", f"{seconds(summary.step.mean_s)} ± {seconds(deviation_s)} standard deviation"
    yield "Step, median", seconds(summary.step.median_s)
    slowest = f"; 99 % {seconds(summary.p99_s)} of {count(summary.steps, 'step')}" if summary.p99_s is not None else ""
    yield "Step, 5 to 95 %", f"{seconds(summary.step.p5_s)} to {seconds(summary.step.p95_s)}{slowest}"
    yield "Measured", f"{count(summary.steps, 'step')}, {count(summary.images, 'image')}, {seconds(summary.wall_s)}"
    yield "Warm-up, left out", f"{count(summary.warmup_steps, 'step')}; {summary.steady_state_reason}"
    if summary.exchange is not None:
        yield "Exchange of gradients", "; ".join(filter(None, (summary.exchange.text, summary.last_gradients)))
    if summary.drift is not None:
        yield "Drift of the step time", f"{summary.drift.text} over the measured steps"
    if summary.joules_per_image is not None:
        yield "Energy", f"{four(summary.joules_per_image)} J an image ({summary.energy.source})"


def throughputs_of(summary: RunResult) -> list[Throughput]:
    """The different definitions of throughput, the headline first."""
    interval = summary.throughput_interval
    values = {**asdict(summary), "throughput": summary.throughput_img_s}
    return throughputs(values, "img/s", (interval.low, interval.high) if interval else None)


def throughputs(values: dict[str, Any], unit: str, interval: tuple[float, float] | None) -> list[Throughput]:
    """The different definitions of throughput that are known. values: by key of perf_data."""
    known = {key: values.get(key) for key in DEFINITIONS}
    return [
        Throughput(DEFINITIONS[key], value, unit, interval if key == "throughput" else None)
        for key, value in known.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def bounds(limits: Limits, peak: PeakFacts | None) -> Iterator[tuple[str, str]]:
    """One device compared with its bounds. peak: None if not measured."""
    yield "Verdict", limits.verdict
    yield "Work of an image", f"{four(limits.flop_per_image / 1e9)} GFLOP, forward and backward"
    yield "Reached", flops(limits.tflop_s) + (f", {four(limits.gb_s)} GB/s" if limits.gb_s else "")
    if peak is not None:
        yield "Measured here, matrix product", flops(peak.gemm_tflop_s)
        yield "Measured here, convolution", flops(peak.conv_tflop_s)
        yield "Measured here, copy", f"{four(peak.copy_gb_s)} GB/s"
    per_cpu = "" if limits.tflop_cpu_s is None else ", per CPU-second"
    yield f"Of the operations measured{per_cpu}", _share(limits.measured_flop_share)
    yield f"Of the bytes measured{per_cpu}", _share(limits.measured_copy_share)
    if limits.best_peak is not None:
        yield "The best peak on record", f"that of {limits.best_peak}"
    if own := limits.own_flop_shares:
        yield "Of those before and after the run", f"{_share(own[0])} to {_share(own[1])}"
    yield "MFU, of the data sheet's operations", _share(limits.data_sheet_flop_share)
    yield "Of the data sheet's bytes", _share(limits.data_sheet_copy_share)
    if limits.data_sheet is not None:
        yield "Data sheet", limits.data_sheet


def gpus(seen: TelemetrySummary) -> Iterator[tuple[str, ...]]:
    for number, gpu in enumerate(seen.gpus):
        limiting = {name: share for name, share in (gpu.throttle or {}).items() if name != "gpu_idle"}
        yield (
            str(number if gpu.facts.index is None else gpu.facts.index),
            *(_mean_and_range(part) for part in (gpu.sm_mhz, gpu.power_w, gpu.temperature_c, gpu.utilisation_percent)),
            "–" if gpu.memory_peak_bytes is None else size_text(gpu.memory_peak_bytes),
            ", ".join(f"{name} {share:.0%}" for name, share in limiting.items()) or "none",
            ", ".join(gpu.foreign) if gpu.foreign else "none",
        )


def host(seen: TelemetrySummary) -> Iterator[tuple[str, str]]:
    """The host over the measured steps, as mean and range; and what could not be read."""
    if (one := seen.host) is not None:
        for name, part, unit in (
            ("CPUs", one.cpu_percent, " %"),
            ("Busiest CPU", one.cpu_busiest_percent, " %"),
            ("Taken by the hypervisor", one.steal_percent, " %"),
            ("CPU clock", one.cpu_mhz, " MHz"),
            ("Load of 1 min", one.load_1m, ""),
        ):
            if part is not None:
                yield name, _mean_and_range(part) + unit
        for name, cpus in (("Kept busy by the run", one.run_cpus), ("Kept busy by others", one.other_cpus)):
            if cpus is not None:
                yield name, f"{four(cpus)} CPUs"
        if one.rss_peak_bytes is not None:
            yield "Memory of the run, peak", size_text(one.rss_peak_bytes)
        if one.disk_read_bytes is not None:
            yield "Read from disks", size_text(one.disk_read_bytes)
    if seen.sampler is not None and seen.sampler.reached_hz is not None:
        yield "Samples", f"{count(seen.sampler.samples, 'sample')}, {four(seen.sampler.reached_hz)} a second"
    for missing in seen.missing:
        yield f"Not seen: {missing.what}", missing.why


def ranks(measured: Sequence[Steps]) -> Iterator[tuple[str, ...]]:
    for rank, steps in enumerate(measured):
        times_s = steps.step_s
        shown_s = (times_s.mean(), np.median(times_s), np.percentile(times_s, 95), times_s.max())
        wait = float(steps.data_s.sum() / times_s.sum())
        yield str(rank), f"{len(times_s):,}", *(seconds(float(one)) for one in shown_s), f"{wait:.1%}"


def losses(summary: RunResult) -> Iterator[tuple[str, ...]]:
    for name, mean in summary.losses.items():
        yield name, four(mean), four(summary.last_epoch_losses.get(name, mean))


def reported(record: Record) -> Iterator[tuple[str, str]]:
    """The content of a run script's benchmark log line, each figure with its unit."""
    yield from record_facts(record)
    yield "Distribution", record.dist_type or "not said"
    for figures in (record.perf_data or {}, record.metric_data or {}):
        for key, value in figures.items():
            if not key.endswith("_unit") and not isinstance(value, dict):
                yield label(key), f"{number(value)} {figures.get(f'{key}_unit', '')}".strip()


def record_facts(record: Record) -> Iterator[tuple[str, str]]:
    yield "Model", record.model
    yield "Dataset", record.dataset
    yield "Batch", "not said" if record.batch_size is None else f"{record.batch_size} in all"
    yield "Devices", f"{record.dev_num} × {record.dev}"
    yield "Precision", record.train_type or "not said"


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _mean_and_range(part: MeanAndRange | None) -> str:
    return "–" if part is None else f"{four(part.mean)} ({four(part.min)} to {four(part.max)})"


def number(value: Any) -> str:
    """A JSON value as text, a float to four significant figures."""
    return four(value) if isinstance(value, float) else plain(value)
