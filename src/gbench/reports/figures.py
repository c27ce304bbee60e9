"""The figures of a run page, as words and numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from gbench.cndb.record import Record
from gbench.measure.summary import Summary
from gbench.reports.run import Run
from gbench.reports.text import capitalized, count, four, label, plain, seconds
from gbench.runfolder import Step

RANK_COLUMNS = ("rank", "steps", "mean", "median", "p95", "slowest", "data wait")
LOSS_COLUMNS = ("loss", "measured steps", "of the last epoch")


def headline(run: Run) -> tuple[str, str]:
    """Throughput and its unit: the figure that the record carries."""
    if run.said is not None:
        perf = run.said.perf_data or {}
        throughput = perf.get("throughput")
        if throughput is None:
            return "", "no throughput reported"
        return _number(throughput), plain(perf.get("throughput_unit", ""))
    return ("", "nothing measured") if run.summary is None else (four(run.summary.throughput_img_s), "img/s")


def headline_meaning(run: Run) -> str:
    """What the headline is a figure of."""
    if run.said is not None:
        return "As its run script reported it in the benchmark log line, not as gbench measured it."
    if run.summary is None:
        return "The run ended before its first measured step."
    return (
        f"{capitalized(run.summary.throughput_is)}: {count(run.summary.images, 'image')} in "
        f"{seconds(run.summary.wall_s)} "
        f"of synchronised steps, by the slowest rank's clock."
    )


def measured_on(run: Run) -> Iterator[tuple[str, str]]:
    """What a throughput means nothing without."""
    yield "Run", run.spec.run_id
    if run.said is not None:
        yield from _common(run.said)
        return
    yield "Model", run.spec.record_name
    yield "Dataset", run.spec.dataset
    yield "Batch", f"{run.spec.batch_size} in all, {run.spec.batch_per_device} a device"
    yield "Devices", run.devices
    yield "Precision", run.precision
    if run.summary is not None:
        deviation_s = run.summary.step_variance_s2**0.5
        yield "Step", f"{seconds(run.summary.step.median_s)} median, {seconds(deviation_s)} standard deviation"
        yield "Measured", f"{count(run.summary.steps, 'step')} after {run.summary.warmup_steps} of warm-up"


def throughput(summary: Summary, devices: int) -> Iterator[tuple[str, str]]:
    """The speed figures, in words that say what they count."""
    deviation_s = summary.step_variance_s2**0.5
    yield capitalized(summary.throughput_is), f"{four(summary.throughput_img_s)} img/s"
    if interval := summary.throughput_interval:
        bounds = f"{four(interval.low)} to {four(interval.high)} img/s (±{interval.half_width_share:.2%})"
        yield "95 % interval", f"{bounds}, {interval.method}, blocks of {interval.block_length} steps"
    if devices > 1:
        yield "The same, a device", f"{four(summary.throughput_img_s / devices)} img/s"
    yield "Without waiting for data", f"{four(summary.throughput_without_data_img_s)} img/s"
    if summary.throughput_legacy_img_s is not None:
        yield "As launch.sh took it", f"{four(summary.throughput_legacy_img_s)} img/s (steps 3 to 7, data excluded)"
    if summary.disturbance.marked_share is not None:
        yield "Throttled steps", f"{summary.disturbance.marked_share:.1%}"
    if summary.throughput_clean_img_s is not None:
        yield "Without throttled steps", f"{four(summary.throughput_clean_img_s)} img/s"
    yield "Data wait", f"{summary.data_share:.1%} of the time"
    if summary.data_source_reason is not None:
        yield "Data", f"read as {summary.data_source}: {summary.data_source_reason}"
    yield "Step, mean", f"{seconds(summary.step.mean_s)} ± {seconds(deviation_s)} standard deviation"
    yield "Step, median", seconds(summary.step.median_s)
    low, high, slowest = (seconds(value) for value in (summary.step.p5_s, summary.step.p95_s, summary.step.p99_s))
    yield "Step, 5 to 95 %", f"{low} to {high}; 99 % {slowest}"
    yield "Measured", f"{count(summary.steps, 'step')}, {count(summary.images, 'image')}, {seconds(summary.wall_s)}"
    yield "Warm-up, left out", f"{count(summary.warmup_steps, 'step')}; {summary.steady_state_reason}"
    if summary.limits is not None:
        yield "Arithmetic", f"{four(summary.limits.tflop_s)} TFLOP/s a device"
        yield "Verdict", summary.limits.verdict
    if summary.joules_per_image is not None:
        yield "Energy", f"{four(summary.joules_per_image)} J an image ({summary.energy.source})"


def ranks(measured: Sequence[Sequence[Step]]) -> Iterator[tuple[str, ...]]:
    """A line a rank, over its measured steps; columns as RANK_COLUMNS."""
    for rank, steps in enumerate(measured):
        times_s, data_s = [step.step_s for step in steps], sum(step.data_s for step in steps)
        last_twentieth = statistics.quantiles(times_s, n=20, method="inclusive")[-1] if len(times_s) > 1 else times_s[0]
        shown_s = (statistics.fmean(times_s), statistics.median(times_s), last_twentieth, max(times_s))
        yield str(rank), f"{len(times_s):,}", *map(seconds, shown_s), f"{data_s / sum(times_s):.1%}"


def losses(summary: Summary) -> Iterator[tuple[str, ...]]:
    """A line a loss; columns as LOSS_COLUMNS."""
    for name, mean in summary.losses.items():
        yield name, four(mean), four(summary.last_epoch_losses.get(name, mean))


def reported(record: Record) -> Iterator[tuple[str, str]]:
    """What a run script's benchmark log line said, each figure with the unit that it gave."""
    yield from _common(record)
    yield "Distribution", record.dist_type or "not said"
    for figures in (record.perf_data or {}, record.metric_data or {}):
        for key, value in figures.items():
            if not key.endswith("_unit"):
                yield label(key), f"{_number(value)} {figures.get(f'{key}_unit', '')}".strip()


def _common(record: Record) -> Iterator[tuple[str, str]]:
    yield "Model", record.model
    yield "Dataset", record.dataset
    yield "Batch", f"{record.batch_size} in all"
    yield "Devices", f"{record.dev_num} × {record.dev}"
    yield "Precision", record.train_type or "not said"


def _number(value: Any) -> str:
    return four(value) if isinstance(value, float) else plain(value)
