"""One self-contained HTML page of one run: no script, nothing fetched, the same run gives the same bytes.

gbench report results/RUN_ID
"""

from __future__ import annotations

from pathlib import Path

from dominate import tags as t

from gbench.base.files import write_atomically
from gbench.measure.telemetry.disturbance import mark_disturbed
from gbench.reports import figures, plots, run_facts
from gbench.reports.page import contents, facts, figure_table, headline, notes, plot_card, render, section, table
from gbench.reports.pictures import KINDS, Pictures, pictures
from gbench.reports.roofline import roofline
from gbench.reports.run_data import RunData
from gbench.reports.text import count, utc
from gbench.reports.timeline import timeline
from gbench.runfolder.folder import RunFolder


def write_report(folder: RunFolder, path: Path) -> Path:
    """Write the page of a run, from its run folder alone; of a run that did not finish, what there is.

    Raises:
        InfrastructureError: no run folder, a broken file in it, or `path` can't be written.
    """
    write_atomically(path, page(RunData.read(folder), pictures(folder.path, path.parent)))
    return path


def page(run: RunData, seen: Pictures | None) -> str:
    """The page as HTML text. seen: the run's pictures."""
    throughput = figures.headline(run)
    what = f"{run.spec.model}, {run.precision}, {run.devices}"

    def fill() -> None:
        _header(run, throughput)
        with t.main():
            _contents(run, seen)
            notes("This run did not go as planned", run.problems, bad=True)
            notes("Warnings", run.host.warnings)
            _throughput(run)
            _steps(run)
            _bounds(run)
            _telemetry(run)
            if seen is not None:
                _pictures(seen)
            run_facts.checks(run)
            run_facts.environment(run)
            run_facts.configuration(run)
            run_facts.reproduction(run)
        t.footer(
            t.p(f"Made by gbench from the run folder of {run.spec.run_id}; every figure can be recomputed from it.")
        )

    return render(f"{what}: {' '.join(throughput).strip()}", fill)


def _header(run: RunData, throughput: tuple[str, str]) -> None:
    spec = run.spec
    with t.header():
        with t.p(cls="muted"):
            t.span(run.status, cls=f"status {run.status}")
            t.span(f" · {spec.recipe} run · {utc(run.host.started_utc)}")
        t.h1(spec.model)
        with t.div(cls="card hero"):
            headline(*throughput, figures.headline_meaning(run), figures.headline_interval(run))
            facts(figures.measured_on(run))


def _contents(run: RunData, seen: Pictures | None) -> None:
    there = {
        "throughput": ("Throughput", True),
        "steps": ("Steps and losses", any(run.ranks)),
        "bounds": ("Bounds", run.summary is not None and run.summary.limits is not None),
        "telemetry": ("Devices and host", run.summary is not None and run.summary.telemetry is not None),
        "pictures": ("Pictures", seen is not None),
        "checks": ("Checks", any(figures.checks(run.host))),
        "environment": ("Environment", True),
        "configuration": ("Configuration", True),
        "reproduce": ("How to reproduce", True),
    }
    contents({name: word for name, (word, is_there) in there.items() if is_there})


def _throughput(run: RunData) -> None:
    with section("Throughput", "throughput"):
        if run.summary is None and run.said is None:
            t.p("No step was measured.")
            return
        with t.div(cls="grid"):
            if run.said is not None:
                with t.div(cls="card"):
                    t.h3("What the run script reported")
                    table(figures.reported(run.said))
            if run.summary is not None:
                with t.div(cls="card tall"):
                    t.h3("All ranks together")
                    table(figures.throughput(run.summary, run.spec.world_size))
                plot_card("What is counted makes a difference", plots.throughputs(figures.throughputs(run.summary)))
                with t.div(cls="card"):
                    t.h3("Each rank")
                    figure_table(figures.RANK_COLUMNS, figures.ranks(run.measured))


def _steps(run: RunData) -> None:
    if not any(run.ranks):
        return
    longest = max(run.ranks, key=len)
    marks = mark_disturbed(longest, run.telemetry.samples)
    with section("Steps and losses", "steps"), t.div(cls="grid plots"):
        plot_card(
            "Steps, devices and host over time",
            timeline(run.ranks, run.warmup_steps, run.telemetry.samples, marks),
            "tall",
        )
        if run.measured:
            plot_card("Distribution of step times", plots.distribution(run.measured))
        if (losses := plots.losses(run.ranks, run.warmup_steps)) is not None:
            plot_card("Losses", losses)
        if run.summary is not None and run.summary.losses:
            with t.div(cls="card"):
                t.h3("Mean losses")
                figure_table(figures.LOSS_COLUMNS, figures.losses(run.summary))


def _bounds(run: RunData) -> None:
    limits = run.summary and run.summary.limits
    if not limits:
        return
    peak = run.environment.peak
    with section("Bounds", "bounds"):
        t.p("What one device did, held against what it was measured to do just before, and against its data sheet.")
        with t.div(cls="grid"):
            with t.div(cls="card"):
                t.h3("What holds it back")
                table(figures.bounds(limits, peak))
            if limits.gb_s is not None and peak is not None:
                plot_card("Roofline", roofline(limits.tflop_s, limits.gb_s, peak))


def _telemetry(run: RunData) -> None:
    seen = run.summary and run.summary.telemetry
    if not seen:
        return
    with section("Devices and host", "telemetry"), t.div(cls="grid"):
        if seen.gpus:
            with t.div(cls="card wide"):
                t.h3("GPUs over the measured steps: mean, least to most")
                figure_table(figures.GPU_COLUMNS, figures.gpus(seen))
        with t.div(cls="card"):
            t.h3("Host over the measured steps: mean, least to most")
            table(figures.host(seen))


def _pictures(seen: Pictures) -> None:
    with section("Pictures", "pictures"), t.div(cls="card"):
        with t.p(cls="muted"):
            t.span(f"{len(seen.shown)} of {count(seen.total, 'sample')}, evenly chosen; made smaller. ")
            if seen.gallery is not None:
                t.a("All of them, side by side", href=seen.gallery)
        with t.div(cls="pictures"):
            for name, kinds in seen.shown.items():
                with t.figure(), t.div(cls="triple"):
                    for kind, uri in kinds.items():
                        with t.div():
                            t.img(src=uri, alt=f"sample {name}, {KINDS[kind]} image")
                            t.span(KINDS[kind], cls="muted")
                    t.figcaption(f"sample {name}")
