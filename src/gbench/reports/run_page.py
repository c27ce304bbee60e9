"""One self-contained HTML page of one run: no script, nothing fetched, the same run gives the same bytes.

gbench report results/RUN_ID
"""

from __future__ import annotations

import shlex
from pathlib import Path

from dominate import tags as t

from gbench.files import write_atomically
from gbench.measure.telemetry.disturbance import mark_disturbed
from gbench.reports import figures, plots
from gbench.reports.page import (
    Rows,
    cards,
    commands,
    contents,
    facts,
    figure_table,
    headline,
    notes,
    plot_card,
    render,
    section,
    table,
)
from gbench.reports.pictures import KINDS, Pictures, pictures
from gbench.reports.roofline import roofline
from gbench.reports.run import Run, part
from gbench.reports.text import count, plain, rows, utc
from gbench.reports.timeline import timeline
from gbench.runfolder import RunFolder


def write_report(folder: RunFolder, path: Path) -> Path:
    """Write the page of a run, from its run folder alone; of a run that did not finish, what there is.

    Raises:
        InfrastructureError: no run folder, a broken file in it, or `path` can't be written.
    """
    write_atomically(path, page(Run.read(folder), pictures(folder.path, path.parent)))
    return path


def page(run: Run, seen: Pictures | None) -> str:
    """The page as HTML text. seen: pictures of an evaluation."""
    throughput = figures.headline(run)
    what = f"{run.spec.model}, {run.precision}, {run.devices}"

    def fill() -> None:
        _header(run, throughput)
        with t.main():
            _contents(run, seen)
            notes("This run did not go as planned", run.problems, bad=True)
            warnings = run.host.get("warnings")
            notes("Warnings", warnings if isinstance(warnings, list) else [])
            _throughput(run)
            _steps(run)
            _bounds(run)
            _telemetry(run)
            if seen is not None:
                _pictures(seen)
            _checks(run)
            _environment(run)
            _configuration(run)
            _reproduction(run)
        t.footer(
            t.p(f"Made by gbench from the run folder of {run.spec.run_id}; every figure can be recomputed from it.")
        )

    return render(f"{what}: {' '.join(throughput).strip()}", fill)


def _header(run: Run, throughput: tuple[str, str]) -> None:
    spec = run.spec
    with t.header():
        with t.p(cls="muted"):
            t.span(run.status, cls=f"status {run.status}")
            t.span(f" · {spec.recipe} run · {utc(run.host.get('started_utc'))}")
        t.h1(spec.model)
        with t.div(cls="card hero"):
            headline(*throughput, figures.headline_meaning(run), figures.headline_interval(run))
            facts(figures.measured_on(run))


def _contents(run: Run, seen: Pictures | None) -> None:
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


def _throughput(run: Run) -> None:
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


def _steps(run: Run) -> None:
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


def _bounds(run: Run) -> None:
    limits = run.summary and run.summary.limits
    if not limits:
        return
    peak = part(run.environment, "peak")
    with section("Bounds", "bounds"):
        t.p("What one device did, held against what it was measured to do just before, and against its data sheet.")
        with t.div(cls="grid"):
            with t.div(cls="card"):
                t.h3("What holds it back")
                table(figures.bounds(limits, peak))
            if limits.gb_s is not None and {"gemm_tflop_s", "conv_tflop_s", "copy_gb_s"} <= peak.keys():
                plot_card("Roofline", roofline(limits.tflop_s, limits.gb_s, peak))


def _telemetry(run: Run) -> None:
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


def _checks(run: Run) -> None:
    lines = list(figures.checks(run.host))
    if not lines:
        return
    with section("Checks before the start", "checks"), t.div(cls="card"), t.table(cls="checks"):
        with t.thead(), t.tr():
            for column in ("check", "verdict", "found"):
                t.th(column, scope="col")
        with t.tbody():
            for name, verdict, found, mend in lines:
                with t.tr():
                    t.th(t.code(name), scope="row")
                    t.td(verdict, cls=f"verdict {verdict}")
                    with t.td():
                        t.span(found)
                        if mend:
                            t.div(f"To do: {mend}", cls="muted")


def _environment(run: Run) -> None:
    host, environment = run.host, run.environment
    host_rows = list(rows(part(host, "hardware")))
    first, last = part(environment, "precision"), part(environment, "precision_at_end")
    groups: dict[str, Rows] = {"Software": rows(part(environment, "software")), "Host": host_rows}
    groups["As the worker saw it"] = [row for row in rows(part(environment, "hardware")) if row not in host_rows]
    if first == last:
        groups["Precision, as torch reported it after the first and the last step"] = rows(last)
    else:
        groups["Precision, as torch reported it after the first step"] = rows(first)
        groups["Precision, as torch reported it after the last step"] = rows(last)
    shown = ("version", "device", "software", "hardware", "precision", "precision_at_end")
    groups["More from the worker"] = rows({key: value for key, value in environment.items() if key not in shown})
    groups["Image and runner"] = rows(part(host, "where"))
    groups["Dataset"] = [("Name", run.spec.dataset), *rows(part(host, "dataset"))]
    groups["Code"] = [("Model's code", run.spec.code_link), *rows(part(host, "git"), "gbench")]
    times = [("Start", "started_utc"), ("End", "ended_utc")]
    groups["Time"] = [(name, utc(host.get(key))) for name, key in times] + [("Exit code", plain(host.get("exit_code")))]
    with section("Environment", "environment"):
        cards(groups)


def _configuration(run: Run) -> None:
    values = run.spec.model_dump(mode="json")
    config = values.pop("config")
    del values["command_line"]  # has its own place below
    groups: dict[str, Rows] = {}
    for name, inner in config.items():
        if isinstance(inner, dict):
            groups[name] = [(f"{name}.{key}", plain(value)) for key, value in inner.items()]
        else:
            values[name] = inner
    groups["run"] = [(key, plain(value)) for key, value in values.items()]
    with section("Configuration", "configuration"):
        t.p("Every value that decided what this run did, as it was resolved before the start.", cls="muted")
        cards(groups, keys_as_code=True)


def _reproduction(run: Run) -> None:
    spec, git, image = run.spec, part(run.host, "git"), part(run.host, "where").get("image_id")
    with section("How to reproduce", "reproduce"), t.div(cls="card"):
        t.h3("The command line, exactly")
        if spec.command_line:
            commands(spec.command_line)
        else:
            t.p("This run was started from Python code, not from a command line.")
        t.h3("The variables, as they were resolved")
        commands(*(f"export {name}={shlex.quote(value)}" for name, value in spec.variables.items()))
        t.h3("What has to be the same")
        with t.ul():
            if git:
                changed = "; files differed from it" if git.get("dirty") else ""
                t.li("gbench at commit ", t.code(plain(git.get("commit"))), changed)
            else:
                t.li(f"gbench {plain(part(run.environment, 'software').get('gbench_version'))}, installed")
            t.li(f"dataset {spec.dataset} with SHA-256 ", t.code(plain(part(run.host, "dataset").get("sha256"))))
            if image:
                t.li("image ", t.code(plain(image)))
            t.li(f"seed {spec.seed}; deterministic: {plain(spec.deterministic)}")
        t.h3("The figures, recomputed from the raw samples")
        commands(f"gbench summary {shlex.quote(str(Path(spec.results_dir) / spec.run_id))}")
