"""One self-contained HTML page of one record, of gbench or of the original: what it holds, and what it can't show.

gbench report cndb/records/RECORD.yaml
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dominate import tags as t

from gbench.base.files import write_atomically
from gbench.cndb.record import Record
from gbench.reports import figures, plots
from gbench.reports.page import cards, commands, facts, headline, notes, plot_card, render, section, table
from gbench.reports.plots import Throughput
from gbench.reports.text import four, label, plain, rows, utc

WAYS = {
    "throughput": "end to end",
    "throughput_without_data_img_s": "without data wait",
    "throughput_legacy_img_s": "as launch.sh took it",
    "throughput_clean_img_s": "without throttled steps",
}
# keys of perf_data that say too little to someone who has not read docs/cndb.md
NAMES = {
    "between_share": "Clock readings, log lines, checkpoints",
    "complete": "Came to its end",
    "count": "Measured steps",
    "data_share": "Data wait",
    "latency": "Step, mean",
    "throughput_without_data_img_s": "Without waiting for data",
    "throughput_legacy_img_s": "As launch.sh took it",
    "throughput_clean_img_s": "Without throttled steps",
    "variance": "Variance of the steps",
    "wall_s": "Measured time",
}
LIMITS = {"tflop_s": "Reached, TFLOP/s a device", "gb_s": "Reached, GB/s a device"}
Mapping = dict[str, Any]


def write_record_page(record: Record, name: str, path: Path) -> Path:
    """Write the page of a record; name: of its file. Raises InfrastructureError: `path` can't be written."""
    write_atomically(path, page(record, name))
    return path


def page(record: Record, name: str) -> str:
    """The page as HTML text."""
    throughput = figures.headline_of(record)
    perf, extra = record.perf_data or {}, record.extra or {}

    def fill() -> None:
        with t.header():
            t.p(f"record of {record.framework} · {utc(extra.get('started_utc') or 'start not said')}", cls="muted")
            t.h1(record.model)
            with t.div(cls="card hero"):
                headline(*throughput, "As the record says.", _interval(perf))
                facts(figures.record_facts(record))
        with t.main():
            notes("What a record can't show", list(_lacks(record)))
            warnings = extra.get("warnings")
            notes("Warnings", warnings if isinstance(warnings, list) else [])
            _measurements(record)
            with section("Environment"):
                cards(
                    {
                        "Software": rows(record.soft_info.model_dump() if record.soft_info else {}),
                        "Hardware": rows(record.hard_info.model_dump() if record.hard_info else {}),
                        "More": [*rows(_known(_without(extra, "warnings", "command_line", "spec"))), *_common(record)],
                    }
                )
            if record.hyper_params:
                with section("Settings"):
                    settings = [(key, plain(value)) for key, value in record.hyper_params.items()]
                    cards({"Hyper parameters": settings}, keys_as_code=True)
            if isinstance(extra.get("command_line"), str) and extra["command_line"]:
                with section("How to reproduce"), t.div(cls="card"):
                    t.h3("The command line, exactly")
                    commands(extra["command_line"])
        t.footer(t.p(f"Made by gbench from the record {name}."))

    return render(f"{record.model}, {record.dev_num} × {record.dev}: {' '.join(throughput).strip()}", fill)


def _lacks(record: Record) -> Iterator[str]:
    """What the page of a run has and this one has not, and why."""
    perf = record.perf_data or {}
    if record.run_id is not None:
        yield f"Single steps, loss curves and telemetry: they are in the run folder, of run {record.run_id}"
    else:
        yield "Single steps, loss curves and telemetry: a record that is not of a gbench run keeps none"
    if "throughput" not in perf:
        yield "A throughput: the record has none"
    elif _ends(perf) is None:
        yield "How good the throughput is: the record has no interval"
    for what, there in (("software", record.soft_info), ("hardware", record.hard_info)):
        if there is None:
            yield f"The {what} it ran on: the record does not say"


def _interval(perf: Mapping) -> str:
    ends = _ends(perf)
    said = f"95 % interval {four(ends[0])} to {four(ends[1])}" if ends else ""
    return f"{said}; not steady" if said and perf.get("steady_state") is False else said


def _ends(perf: Mapping) -> tuple[float, float] | None:
    match perf.get("throughput_interval"):
        case {"low": float() | int() as low, "high": float() | int() as high}:
            return low, high
    return None


def _ways(perf: Mapping) -> Iterator[Throughput]:
    unit, ends = plain(perf.get("throughput_unit", "")), _ends(perf)
    for key, name in WAYS.items():
        value = perf.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high = ends if ends and key == "throughput" else (None, None)
            yield Throughput(name, value, unit, low, high)


def _measurements(record: Record) -> None:
    perf = _known(record.perf_data or {})
    single = {key: value for key, value in perf.items() if not isinstance(value, dict | list)}
    ways = list(_ways(perf))
    with section("What was measured"):
        with t.div(cls="grid"):
            if single:
                with t.div(cls="card tall"):
                    t.h3("Figures")
                    table(_figures(single))
            if len(ways) > 1:
                plot_card("What is counted makes a difference", plots.throughputs(ways))
            if record.metric_data:
                with t.div(cls="card"):
                    t.h3("Losses and metrics")
                    table(_metrics(record.metric_data))
        nested = {key: value for key, value in perf.items() if key not in single}
        cards({label(key): list(_nested(key, value)) for key, value in nested.items()})


def _figures(values: Mapping) -> Iterator[tuple[str, str]]:
    """Each with its unit, which the key or a key beside it names."""
    for key, value in values.items():
        if not key.endswith("_unit"):
            for name, text in rows({key: value}):
                unit = values.get(f"{key}_unit")
                yield NAMES.get(key, name), f"{text} {plain(unit)}" if unit else text


def _metrics(values: Mapping) -> Iterator[tuple[str, str]]:
    """Losses keep their own names."""
    for key, value in values.items():
        for name, text in rows(value if isinstance(value, dict) else {"": value}):
            yield f"{key}, {name}" if name else key, text


def _nested(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield from rows({key: value})
        return
    for inner, one in value.items():
        if key == "limits" and inner in LIMITS:
            yield LIMITS[inner], four(one) if isinstance(one, float) else plain(one)
        else:
            yield from rows({inner: one})


def _known(value: Any) -> Any:
    """A mapping without what it says nothing of."""
    if not isinstance(value, dict):
        return value
    inner = {key: _known(one) for key, one in value.items()}
    return {key: one for key, one in inner.items() if one is not None and one not in ({}, [], "")}


def _common(record: Record) -> Iterator[tuple[str, str]]:
    yield "Model's code", plain(record.code_link)
    yield "Distribution", plain(record.dist_type)
    yield "Evaluation mode", plain(record.eval_type)
    yield "md5", plain(record.md5_val)
    yield "Tags", plain(record.tags)


def _without(values: Mapping, *keys: str) -> Mapping:
    return {key: value for key, value in values.items() if key not in keys}
