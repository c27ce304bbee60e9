"""A comparison as JSON, Markdown and JUnit XML."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from gbench.compare.comparison import Comparison, change_text, percent, relative, runs_needed
from gbench.compare.explain import Cause
from gbench.compare.nightly import Night, NightFigure, one_way
from gbench.compare.verdict import Judged
from gbench.errors import printable

HEADINGS = ("figure", "verdict", "change", "95 % interval", "BASE", "NEW")
# verdict -> what its case of a JUnit file contains
CASES = {
    "regression": "failure",
    "inconclusive": "skipped",
    "too few nights": "skipped",
    "no regression": "",
    "improved": "",
}
_Case = tuple[str, str, str]  # name, what it contains, the message of that


def cells(one: Judged) -> list[str]:
    """A figure as a table row, with the columns HEADINGS."""
    change, unit = one.change, f" {one.metric.unit}" if one.metric.unit else ""
    return [
        one.metric.title,
        "improved" if one.improved else one.verdict,
        relative(one.ratio, 2),
        f"{relative(one.low, 2)} to {relative(one.high, 2)}",
        f"{change.base:.4g}{unit}",
        f"{change.new:.4g}{unit}",
    ]


def night_cells(one: NightFigure) -> list[str]:
    """The same of a night's figure."""
    unit = f" {one.metric.unit}" if one.metric.unit else ""
    change, low, high = one_way(one)
    interval = "" if low is None else f"{low} to {high}"
    base = "" if one.base is None else f"{one.base:.4g}{unit}"
    return [one.metric.title, one.judged.verdict, change, interval, base, f"{one.new:.4g}{unit}"]


def night_as_json(night: Night) -> dict[str, Any]:
    """The night as JSON values. Shares are of 1, and negative for a loss, whether higher is better or not."""
    return {
        "verdict": night.verdict,
        "exit_code": int(night.exit_code),
        "sentence": night.sentence,
        "threshold": night.threshold,
        "anchor": {"name": night.anchor.name, "pinned": night.anchor.pinned, "nights": len(night.anchor.nights)},
        "nights_since": len(night.anchor.since),
        "inconclusive_nights": night.open_nights,
        "runs": [run.source for run in night.tonight],
        "figures": [
            {"figure": one.metric.name, "unit": one.metric.unit, "base": one.base, "new": one.new, **asdict(one.judged)}
            for one in night.figures
        ],
        "notes": night.notes,
        "differences": [cause_json(cause) for cause in night.causes],
    }


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values. Shares are of 1; `change` is NEW / BASE - 1, whether higher is better or not."""
    return {
        "verdict": comparison.verdict,
        "exit_code": int(comparison.exit_code),
        "sentence": comparison.sentence,
        "threshold": comparison.threshold,
        "base": [run.source for run in comparison.base],
        "new": [run.source for run in comparison.new],
        "figures": [_figure(one) for one in comparison.judged],
        "notes": comparison.notes,
        "differences": [cause_json(cause) for cause in comparison.causes],
    }


def cause_json(cause: Cause) -> dict[str, Any]:
    """One difference, with the name of its influence."""
    return {**asdict(cause), "influence": cause.influence.name.lower()}


def _figure(one: Judged) -> dict[str, Any]:
    change, reading = one.change, one.change.reading
    return {
        "figure": one.metric.name,
        "unit": one.metric.unit,
        "base": change.base,
        "new": change.new,
        "change": one.ratio - 1,
        "low": one.low - 1,
        "high": one.high - 1,
        "verdict": one.verdict,
        "improved": one.improved,
        "surely_worse": one.surely_worse,
        "run_sd": {"base": reading.base_variance**0.5, "new": reading.new_variance**0.5, "from": reading.source},
        "degrees_of_freedom": None if reading.source == "assumed" else reading.dof,
        "more_runs": None if one.more is None else {"each": one.more.each, "new_alone": one.more.new},
    }


def as_markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown section: the sentence, the table, the notes, what else differs."""
    return _markdown(comparison, map(cells, comparison.judged))


def night_as_markdown(night: Night) -> str:
    """The verdict on a night, as a comparison is written."""
    return _markdown(night, map(night_cells, night.figures))


def _markdown(found: Comparison | Night, rows: Iterable[list[str]]) -> str:
    table = [HEADINGS, ["---"] * len(HEADINGS), *rows]
    lines = [f"**{escaped(found.sentence)}**", ""]
    lines += ["| " + " | ".join(map(escaped, row)) + " |" for row in table]
    for title, texts in (
        ("Notes", found.notes),
        ("What else differs, the likeliest to matter first", [cause.text for cause in found.causes]),
    ):
        if texts:
            lines += ["", f"{title}:", "", *(f"- {escaped(text)}" for text in texts)]
    return "\n".join(lines) + "\n"


def as_junit(comparison: Comparison) -> str:
    """A test suite with one case per figure: a regression is a failure, an inconclusive figure is skipped."""
    cases: list[_Case] = []
    for one in comparison.judged:
        message = f"{change_text(one)}, threshold {percent(comparison.threshold)}"
        if one.verdict == "inconclusive":
            message = f"{change_text(one)}; {runs_needed(one)}"
        cases.append((one.metric.name, CASES[one.verdict], message))
    return _junit("compare", cases, (comparison.sentence, *comparison.notes), comparison.causes)


def night_as_junit(night: Night) -> str:
    """The same of a night; one without a verdict is skipped, too."""
    cases = [(one.metric.name, CASES[one.judged.verdict], night.sentence) for one in night.figures]
    return _junit("nightly", cases, (night.sentence, *night.notes), night.causes)


def night_failed(stage: str, why: str) -> tuple[str, str]:
    """The Markdown and the JUnit file of a night that came to no verdict. stage: `launch` or `compare`."""
    page = f"# Nightly: not {'measured' if stage == 'launch' else 'compared'}\n\n    {why}\n"
    return page, _junit("nightly", [(stage, "error", why)], [why])


def _junit(verb: str, cases: Sequence[_Case], output: Sequence[str], causes: Sequence[Cause] = ()) -> str:
    counts = Counter(kind for _, kind, _ in cases)
    suite = ElementTree.Element(
        "testsuite",
        name=f"gbench {verb}",
        tests=str(len(cases)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
        skipped=str(counts["skipped"]),
    )
    for name, kind, message in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=f"gbench.{verb}", name=name)
        if kind:
            found = ElementTree.SubElement(case, kind, message=printable(message, ""))
            if kind == "failure":
                found.text = "\n".join(cause.text for cause in causes)
    ElementTree.SubElement(suite, "system-out").text = "\n".join(map(printable, output))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
