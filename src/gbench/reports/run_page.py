"""One self-contained HTML page of one run: no script, nothing fetched, the same run gives the same bytes.

gbench report results/RUN_ID
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dominate import document
from dominate import tags as t
from dominate.util import raw

from gbench.files import write_atomically
from gbench.reports import figures, plots
from gbench.reports.run import Run, section
from gbench.reports.style import CSS
from gbench.reports.text import plain, rows, utc
from gbench.runfolder import RunFolder

# Tells the browser, too, that this page needs nothing from anywhere.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LONG = 12  # rows from which on a table may go on in the next column
Rows = Iterable[tuple[str, str]]


def write_report(folder: RunFolder, path: Path) -> Path:
    """Write the page of a run, from its run folder alone; of a run that did not finish, what there is.

    Raises:
        InfrastructureError: no run folder, a broken file in it, or `path` can't be written.
    """
    write_atomically(path, page(Run.read(folder)))
    return path


def page(run: Run) -> str:
    """The page as HTML text."""
    throughput = figures.headline(run)
    what = f"{run.spec.model}, {run.precision}, {run.devices}"
    html = document(title=f"{what}: {' '.join(throughput).strip()}", lang="en")
    with html.head:
        t.meta(charset="utf-8")
        t.meta(http_equiv="Content-Security-Policy", content=POLICY)
        t.meta(name="viewport", content="width=device-width, initial-scale=1")
        t.meta(name="color-scheme", content="light dark")
        t.style(raw(CSS))
    with html.body:
        _header(run, throughput)
        with t.main():
            _problems_and_warnings(run)
            _throughput(run)
            _plots(run)
            _environment(run)
            _configuration(run)
            _reproduction(run)
        t.footer(
            t.p(f"Made by gbench from the run folder of {run.spec.run_id}; every figure can be recomputed from it.")
        )
    return str(html.render(pretty=False)) + "\n"


def _header(run: Run, throughput: tuple[str, str]) -> None:
    spec = run.spec
    with t.header():
        with t.p(cls="muted"):
            t.span(run.status, cls=f"status {run.status}")
            t.span(f" · {spec.recipe} run · {utc(run.host.get('started_utc'))}")
        t.h1(spec.model)
        with t.div(cls="card hero"):
            with t.div():
                with t.p(cls="headline"):
                    t.span(throughput[0])
                    t.span(f" {throughput[1]}", cls="unit")
                t.p(figures.headline_meaning(run), cls="muted")
            with t.dl(cls="facts"):
                for name, value in figures.measured_on(run):
                    t.dt(name)
                    t.dd(value)


def _problems_and_warnings(run: Run) -> None:
    warnings = run.host.get("warnings")
    for heading, sentences, look in (
        ("This run did not go as planned", run.problems, "card note bad"),
        ("Warnings", warnings if isinstance(warnings, list) else [], "card note"),
    ):
        if sentences:
            with t.section():
                t.h2(heading)
                t.div(t.ul(t.li(plain(sentence)) for sentence in sentences), cls=look)


def _throughput(run: Run) -> None:
    with _section("Throughput"):
        if run.summary is None and run.said is None:
            t.p("No step was measured.")
            return
        with t.div(cls="grid"):
            if run.said is not None:
                with t.div(cls="card"):
                    t.h3("What the run script reported")
                    _table(figures.reported(run.said))
            if run.summary is not None:
                with t.div(cls="card"):
                    t.h3("All ranks together")
                    _table(figures.throughput(run.summary, run.spec.world_size))
                with t.div(cls="card"):
                    t.h3("Each rank")
                    _figure_table(figures.RANK_COLUMNS, figures.ranks(run.measured))


def _plots(run: Run) -> None:
    if not any(run.ranks):
        return
    drawn = [("Step time and data wait", plots.step_times(run.ranks, run.warmup_steps))]
    if run.measured:
        drawn.append(("Distribution of step times", plots.distribution(run.measured)))
    if (losses := plots.losses(run.ranks, run.warmup_steps)) is not None:
        drawn.append(("Losses", losses))
    with _section("Steps and losses"), t.div(cls="grid plots"):
        for heading, plot in drawn:
            with t.div(cls="card"):
                t.h3(heading)
                t.figure(raw(plot.svg), t.figcaption(plot.caption))
        if run.summary is not None and run.summary.losses:
            with t.div(cls="card"):
                t.h3("Mean losses")
                _figure_table(figures.LOSS_COLUMNS, figures.losses(run.summary))


def _environment(run: Run) -> None:
    host, environment = run.host, run.environment
    host_rows = list(rows(section(host, "hardware")))
    first, last = section(environment, "precision"), section(environment, "precision_at_end")
    groups: dict[str, Rows] = {"Software": rows(section(environment, "software")), "Host": host_rows}
    groups["As the worker saw it"] = [row for row in rows(section(environment, "hardware")) if row not in host_rows]
    if first == last:
        groups["Precision, as torch reported it after the first and the last step"] = rows(last)
    else:
        groups["Precision, as torch reported it after the first step"] = rows(first)
        groups["Precision, as torch reported it after the last step"] = rows(last)
    shown = ("version", "device", "software", "hardware", "precision", "precision_at_end")
    groups["More from the worker"] = rows({key: value for key, value in environment.items() if key not in shown})
    groups["Image and runner"] = rows(section(host, "where"))
    groups["Dataset"] = [("Name", run.spec.dataset), *rows(section(host, "dataset"))]
    groups["Code"] = [("Model's code", run.spec.code_link), *rows(section(host, "git"), "gbench")]
    times = [("Start", "started_utc"), ("End", "ended_utc")]
    groups["Time"] = [(name, utc(host.get(key))) for name, key in times] + [("Exit code", plain(host.get("exit_code")))]
    with _section("Environment"):
        _cards(groups)


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
    with _section("Configuration"):
        t.p("Every value that decided what this run did, as it was resolved before the start.", cls="muted")
        _cards(groups, keys_as_code=True)


def _reproduction(run: Run) -> None:
    spec, git, image = run.spec, section(run.host, "git"), section(run.host, "where").get("image_id")
    with _section("How to reproduce"), t.div(cls="card"):
        t.h3("The command line, exactly")
        if spec.command_line:
            _commands(spec.command_line)
        else:
            t.p("This run was started from Python code, not from a command line.")
        t.h3("The variables, as they were resolved")
        _commands(*(f"export {name}={shlex.quote(value)}" for name, value in spec.variables.items()))
        t.h3("What has to be the same")
        with t.ul():
            if git:
                changed = "; files differed from it" if git.get("dirty") else ""
                t.li("gbench at commit ", t.code(plain(git.get("commit"))), changed)
            else:
                t.li(f"gbench {plain(section(run.environment, 'software').get('gbench_version'))}, installed")
            t.li(f"dataset {spec.dataset} with SHA-256 ", t.code(plain(section(run.host, "dataset").get("sha256"))))
            if image:
                t.li("image ", t.code(plain(image)))
            t.li(f"seed {spec.seed}; deterministic: {plain(spec.deterministic)}")
        t.h3("The figures, recomputed from the raw samples")
        _commands(f"gbench summary {shlex.quote(str(Path(spec.results_dir) / spec.run_id))}")


@contextmanager
def _section(heading: str) -> Iterator[None]:
    with t.section():
        t.h2(heading)
        yield


def _cards(groups: dict[str, Rows], keys_as_code: bool = False) -> None:
    with t.div(cls="packed"):
        for heading, group in groups.items():
            if listed := list(group):
                with t.div(cls="card long" if len(listed) > LONG else "card"):
                    t.h3(heading)
                    _table(listed, keys_as_code)


def _table(listed: Rows, keys_as_code: bool = False) -> None:
    with t.table(), t.tbody():
        for name, value in listed:
            t.tr(t.th(t.code(name) if keys_as_code else name, scope="row"), t.td(_link(value)))


def _figure_table(columns: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> None:
    """A table of numbers, which scrolls within its box where the screen is too narrow."""
    with t.div(cls="scroll", tabindex="0", role="region", aria_label=f"table by {columns[0]}"), t.table(cls="figures"):
        with t.thead(), t.tr():
            for column in columns:
                t.th(column, scope="col", cls="number" if column != columns[0] else "")
        with t.tbody():
            for name, *numbers in lines:
                with t.tr():
                    t.th(name, scope="row")
                    for number in numbers:
                        t.td(number, cls="number")


def _commands(*lines: str) -> None:
    """Command lines, to be copied; a narrow screen breaks them between words and not after a hyphen."""
    with t.pre():
        for number, line in enumerate(lines):
            raw("\n" if number else "")
            for place, word in enumerate(line.split(" ")):
                raw(" " if place else "")
                t.span(word)


def _link(value: str) -> Any:
    return t.a(value, href=value, rel="noreferrer") if value.startswith(("https://", "http://")) else value
