"""Terminal output: results on stdout, progress on stderr."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gbench.base import strict_json
from gbench.base.size import size_text
from gbench.errors import ExitCode, printable

if TYPE_CHECKING:
    from rich.live import Live

    from gbench.cli.shared.live_line import Progress
    from gbench.cndb.record import Record
    from gbench.runfolder.evaluation_result import Evaluation, Metric, Spread
    from gbench.runfolder.folder import RunFolder
    from gbench.runfolder.host_facts import HostFacts
    from gbench.runfolder.run_result import Job, RunResult
    from gbench.runners.cluster_job import ClusterJob
    from gbench.runs.finish import FinishedRun


COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """Progress on stderr: plain lines; during a run on a terminal, one live line; nothing if quiet.

    keep: whether a line of the worker stays on the screen, above the live line.
    """

    def __init__(self, quiet: bool, keep: Callable[[str], bool] | None = None) -> None:
        self._quiet = quiet
        self._keep = keep or (lambda text: text.startswith(("warning: ", "about ")))
        self._live: Live | None = None
        self._progress: Progress | None = None

    def line(self, text: str) -> None:
        if self._quiet:
            return
        text = printable(COLOURS.sub("", text))  # a run script prints what it likes
        if self._live is None or self._progress is None:
            click.echo(text, err=True)
        elif self._keep(text):
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._progress.note(text)

    @contextmanager
    def running(self, folder: RunFolder) -> Iterator[None]:
        """Show the live line, updated once a second."""
        if self._quiet or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        from gbench.cli.shared.live_line import Progress

        console, progress = Console(stderr=True), Progress(folder)
        self._progress = progress

        def now() -> Text:
            return Text(progress.text(console.width), no_wrap=True, overflow="ellipsis")

        with Live(get_renderable=now, console=console, refresh_per_second=1, transient=True) as self._live:
            try:
                yield
            finally:
                self._live = None


def echo(text: object = "", *, err: bool = False, nl: bool = True, keep: str = "\n\t") -> None:
    """Print text for a person, without control characters but those of `keep`: files and names may hold any."""
    click.echo(printable(str(text), keep), err=err, nl=nl)


def print_json(values: Any) -> None:
    click.echo(strict_json.dumps(values, indent=2, ensure_ascii=False))
    context = click.get_current_context(silent=True)
    if context is not None and context.obj is not None:
        context.obj["json"] = True  # so that an error after it is no second value


def print_lines(lines: Iterable[tuple[str, Any]]) -> None:
    for name, value in lines:
        echo(f"{name:<14}{value}")


def finished_json(finished: FinishedRun) -> dict[str, Any]:
    from gbench.runfolder.typed_json import VERSION

    result = finished.summary and {"version": VERSION, **asdict(finished.summary)}
    database = {"stored": finished.stored, "not_stored": finished.not_stored}
    evaluation = finished.evaluation and finished.evaluation.model_dump()
    return {
        "result": result,
        "evaluation": evaluation,
        "record": finished.record.model_dump(),
        "paths": _paths(finished),
        "database": database,
    }


def print_detached(folder: RunFolder, job: ClusterJob, as_json: bool) -> None:
    """Print a job that was left."""
    from gbench.runners.following import attach_command

    attach = attach_command(folder.path)
    if as_json:
        print_json({"job": job.job, "paths": {"run": str(folder.path)}, "attach": attach})
    else:
        print_lines([("job", job.job), ("run", folder.path), ("take it up", attach), ("end it", job.end_command)])


def what_ran(record: Record) -> str:
    return (
        f"{record.model}  batch {record.batch_size} on {record.dev_num} x {record.dev}  "
        f"{record.train_type}  {record.dist_type}  {record.dataset}"
    )


def print_finished(finished: FinishedRun) -> None:
    from gbench.cndb.log_line import accuracy_of
    from gbench.runfolder.alarms import read_alarms

    record = finished.record
    profile = (record.hyper_params or {}).get("profile", "reference")
    echo(what_ran(record) + ("" if profile == "reference" else f"  {profile}"))
    if finished.summary is not None:
        print_lines(summary_lines(finished.summary, accuracy_of(record), finished.folder.host()))
    else:
        print_reported(record)
    if finished.evaluation is not None:
        print_lines(evaluation_lines(finished.evaluation))
    print_lines(("WARNING", alarm) for alarm in read_alarms(finished.folder.path))
    print_lines(_paths(finished).items())
    if finished.stored is not None:
        print_lines([("database", finished.stored)])


def print_reported(record: Record) -> None:
    """Print the figures of a run script that measures for itself."""
    figures = {**(record.perf_data or {}), **(record.metric_data or {})}
    memory = figures.pop("memory", None)
    for key, value in figures.items():
        inner = ", ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else None
        echo(f"{key:<13} {or_dash(value if inner is None else inner)}")
    if memory:
        print_lines([("memory", _memory(memory))])


def report_not_stored(not_stored: Sequence[str | None]) -> None:
    """If uploads failed, print a warning and exit with NOT_UPLOADED. not_stored: why, or None, per record."""
    waiting = [why for why in not_stored if why is not None]
    if waiting:
        echo(f"gbench: warning: not uploaded: {waiting[-1]}", err=True)
        click.get_current_context().exit(ExitCode.NOT_UPLOADED)


def _paths(finished: FinishedRun) -> dict[str, str]:
    from gbench.runfolder.evaluation_result import final_of

    gallery = {"gallery": str(final_of(finished.folder).path / "gallery.html")} if finished.evaluation else {}
    return {
        "run": str(finished.folder.path),
        "log": str(finished.log),
        "record": str(finished.record_path),
        **({"report": str(finished.report)} if finished.report else {}),
        **gallery,
    }


def summary_lines(
    summary: RunResult, accuracy: str | None = None, host: HostFacts | None = None
) -> list[tuple[str, str]]:
    """A run's figures as text: name and value.

    accuracy: of a convergence run, in place of the mean losses. host: of the run.
    """
    interval, step, bounds = summary.throughput_interval, summary.step, summary.limits
    between = host.between_runs if host else None
    figures = {
        "throughput": "; ".join(
            filter(None, (f"{summary.throughput_img_s:.4g} img/s {summary.throughput_is}", summary.too_few_cycles))
        ),
        "95 % interval": (
            f"{interval.low:.4g} to {interval.high:.4g} img/s (+-{interval.half_width_share:.2%}) of this run's "
            f"steps, in blocks of {interval.block_length}"
            if interval
            else "none: too few steps"
        ),
        "between runs": f"{between.low:.4g} to {between.high:.4g} img/s, {between.text}" if between else "",
        "scaling": summary.scaling(host.one_device if host else None),
        "without data": f"{summary.throughput_without_data_img_s:.4g} img/s; data wait is {summary.data_share:.1%}"
        + (f"; {summary.pace}" if summary.pace else ""),
        "as launch.sh": _img_s(summary.throughput_legacy_img_s, "steps 3 to 7, data excluded", "needs 7 steps"),
        "step": f"{step.median_s:.4g} s median; 5 % {step.p5_s:.4g}, 95 % {step.p95_s:.4g}"
        + (f", 99 % {summary.p99_s:.4g} s of {summary.steps} steps" if summary.p99_s is not None else " s"),
        "measured": f"{summary.steps} steps, {summary.images} images, {summary.wall_s:.4g} s; "
        f"{summary.between_share:.2%} of it reading the clock, printing and saving",
        "warm-up": f"{summary.warmup_steps} steps left out; "
        + ("" if summary.steady_state else "NOT STEADY: ")
        + summary.steady_state_reason,
    }
    if summary.drift is not None:
        figures["drift"] = f"{summary.drift.text} of the step time over the measured steps"
    if summary.disturbance.marked_share is not None:
        figures["throttled"] = f"{summary.disturbance.marked_share:.1%} of the steps; " + _img_s(
            summary.throughput_clean_img_s, "without them", "no step is known to be clean"
        )
    if summary.data_source != "real" or summary.data_source_reason is not None:
        figures["data"] = ": ".join(filter(None, (summary.data_source, summary.data_source_reason)))
    if summary.profile != "reference":
        figures["profile"] = summary.profile
    if bounds is not None:
        shares = [f"{bounds.tflop_s:.4g} TFLOP/s per device"]
        if bounds.measured_text:
            shares.append(bounds.measured_text)
        if bounds.data_sheet_flop_share is not None:
            shares.append(f"{bounds.data_sheet_flop_share:.0%} of the data sheet")
        figures["arithmetic"] = ", ".join(shares)
        figures["verdict"] = bounds.verdict
    if summary.exchange is not None:
        figures["exchange"] = "; ".join(filter(None, (summary.exchange.text, summary.last_gradients)))
    if summary.joules_per_image is not None:
        figures["energy"] = f"{summary.joules_per_image:.4g} J an image ({summary.energy.source})"
    if summary.memory:
        figures["memory"] = _memory(summary.memory)
    if summary.job is not None:
        figures["whole job"] = _job(summary.job)
    figures["mean losses"] = "  ".join(f"{name} {value:.4g}" for name, value in summary.losses.items())
    if accuracy is not None:
        figures["mean losses"] = f"{accuracy}; of the last epoch's printed lines"
    if not summary.complete:
        figures["INCOMPLETE"] = "the run ended before its last step"
    return [(name, text) for name, text in figures.items() if text]


def evaluation_lines(found: Evaluation) -> list[tuple[str, str]]:
    from gbench.runfolder.evaluation_result import METRICS, SET_METRICS

    lines = []
    for name, metric in {**METRICS, **SET_METRICS}.items():
        if name in found.set_metrics:
            lines.append((name, f"{found.set_metrics[name]:.4g}; {metric.meaning}"))
        elif name in found.metrics:
            lines.append((name, metric_text(metric, found.metrics[name])))
    return [*lines, *((names, f"not computed: {why}") for names, why in found.absent)]


def metric_text(metric: Metric, over_images: Spread) -> str:
    """A metric's mean and deviation over images, and what it means."""
    mean, sd = over_images.mean, over_images.sd
    figure = "infinite: some images are equal" if mean is None else f"{mean:.4g} {metric.unit}".rstrip()
    return figure + (f" (sd {sd:.3g})" if sd is not None else "") + f"; {metric.meaning}"


def _img_s(value: float | None, what: str, without: str) -> str:
    return without if value is None else f"{value:.4g} img/s {what}"


def _job(job: Job) -> str:
    from gbench.measure.estimate import duration

    epochs = f"{job.epochs:.4g} {'epoch' if job.epochs == 1 else 'epochs'}"
    parts = [epochs + (f" in {duration(job.wall_s)}" if job.wall_s is not None else "")]
    if job.attempts > 1:
        parts[0] += f" over {job.attempts} attempts"
    again = f" ({duration(job.redone_s)} of it done again)" if job.redone_s else ""
    whole = job.wall_s is not None and job.wall_s > 0
    speed = job.epochs / job.wall_s * 3600 if job.wall_s else job.epochs_per_hour
    parts.append(f"{duration(job.training_s)} of it training{again}")
    parts.append(f"{speed:.4g} epochs/h" + ("" if whole else " of training"))
    if job.joules is not None:
        parts.append(f"{job.joules / 3.6e6:.4g} kWh ({job.energy_source})")
    return ", ".join(parts)


def _memory(ranks: list[dict[str, int]]) -> str:
    names = {"allocated_bytes": "allocated", "reserved_bytes": "reserved", "host_rss_bytes": "resident on the host"}
    peaks = {name: max(rank[key] for rank in ranks) for key, name in names.items() if key in ranks[0]}
    return ", ".join(f"{size_text(peak)} {name}" for name, peak in peaks.items()) + ", peak of a rank"


def or_dash(value: Any) -> str:
    return "-" if value is None else str(value)
