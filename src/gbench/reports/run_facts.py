"""The sections of a run's page on its environment, its settings, and how to reproduce it."""

import shlex
from pathlib import Path
from typing import Any

from dominate import tags as t

from gbench.reports.page import Rows, cards, commands, section, table_head
from gbench.reports.run_data import RunData
from gbench.reports.text import plain, rows, utc
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.typed_json import Facts
from gbench.settings.spec import RunSpec


def checks(host: HostFacts) -> None:
    """The checks before the start: name, verdict, finding, what to do."""
    with section("Checks before the start", "checks"), t.div(cls="card"), t.table(cls="checks"):
        table_head(dict.fromkeys(("check", "verdict", "found"), ""))
        with t.tbody():
            for check in host.checks:
                verdict = "ignored" if check.ignored else check.severity
                with t.tr():
                    t.th(t.code(check.id), scope="row")
                    t.td(verdict, cls=f"verdict {verdict}")
                    with t.td():
                        t.span(check.found)
                        if check.fix:
                            t.div(f"To do: {check.fix}", cls="muted")


def environment(run: RunData) -> None:
    host, environment = run.host, run.environment
    host_rows = list(rows(host.hardware.values()))
    first, last = _values(environment.precision), _values(environment.precision_at_end)
    reported = "Precision, as torch reported it after the"
    precision = {"first": first, "last": last} if first != last else {"first and the last": last}
    shown = ("device", "software", "hardware", "precision", "precision_at_end")
    more = {key: value for key, value in environment.values().items() if key not in shown}
    times = {"Start": utc(host.started_utc), "End": utc(host.ended_utc), "Exit code": plain(host.exit_code)}
    groups: dict[str, Rows] = {
        "Software": rows(environment.software),
        "Host": host_rows,
        "As the worker saw it": [row for row in rows(environment.hardware.values()) if row not in host_rows],
        **{f"{reported} {step} step": rows(values) for step, values in precision.items()},
        "More from the worker": rows(more),
        "Image and runner": rows(host.where.values()),
        "Dataset": [("Name", run.spec.dataset), *rows(host.dataset.values())],
        "Code": [("Model's code", run.spec.code_link), *rows(_values(host.git), "gbench")],
        "Time": times.items(),
    }
    with section("Environment", "environment"):
        cards(groups)


def configuration(spec: RunSpec) -> None:
    values = spec.model_dump(mode="json")
    config = values.pop("config")
    del values["command_line"]  # shown in the section on how to reproduce it
    groups: dict[str, Rows] = {}
    for name, inner in config.items():
        if isinstance(inner, dict):
            groups[name] = [(f"{name}.{key}", plain(value)) for key, value in inner.items()]
        else:
            values[name] = inner
    groups["run"] = [(key, plain(value)) for key, value in values.items()]
    with section("Configuration", "configuration"):
        t.p("Every setting of this run, as resolved before the start.", cls="muted")
        cards(groups, keys_as_code=True)


def reproduction(run: RunData) -> None:
    spec, git, image = run.spec, run.host.git, run.host.where.image_id
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
                changed = "; files differed from it" if git.dirty else ""
                t.li("gbench at commit ", t.code(plain(git.commit)), changed)
            else:
                t.li(f"gbench {plain(run.environment.software.get('gbench_version'))}, installed")
            t.li(f"dataset {spec.dataset} with SHA-256 ", t.code(plain(run.host.dataset.sha256)))
            if image:
                t.li("image ", t.code(plain(image)))
            t.li(f"seed {spec.seed}; deterministic: {plain(spec.deterministic)}")
        if run.unverified is not None:
            return
        t.h3("The figures" + (", recomputed from the raw samples" if run.summary is not None else ""))
        commands(f"gbench summary {shlex.quote(str(Path(spec.results_dir) / spec.run_id))}")


def _values(facts: Facts | None) -> dict[str, Any]:
    """The keys of a part; empty if the run did not write it."""
    return facts.values() if facts else {}
