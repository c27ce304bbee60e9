"""A comparison as JSON, Markdown and JUnit XML."""

from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from gbench.compare.comparison import Comparison, change_text, percent, relative, runs_needed
from gbench.compare.explain import Cause
from gbench.compare.verdict import Judged

HEADINGS = ("figure", "verdict", "change", "95 % interval", "BASE", "NEW")


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
    change = one.change
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
        "run_sd": {"base": change.base_variance**0.5, "new": change.new_variance**0.5, "from": change.source},
        "degrees_of_freedom": None if change.source == "assumed" else change.dof,
        "more_runs": None if one.more is None else {"each": one.more.each, "new_alone": one.more.new},
    }


def as_markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown section: the sentence, the table, the notes, what else differs."""
    table = [HEADINGS, ["---"] * len(HEADINGS), *map(cells, comparison.judged)]
    lines = [f"**{_escaped(comparison.sentence)}**", ""]
    lines += ["| " + " | ".join(map(_escaped, row)) + " |" for row in table]
    for title, texts in (
        ("Notes", comparison.notes),
        ("What else differs, the likeliest to matter first", [cause.text for cause in comparison.causes]),
    ):
        if texts:
            lines += ["", f"{title}:", "", *(f"- {_escaped(text)}" for text in texts)]
    return "\n".join(lines) + "\n"


def as_junit(comparison: Comparison) -> str:
    """A test suite with one case per figure: a regression is a failure, an inconclusive figure is skipped."""
    verdicts = [one.verdict for one in comparison.judged]
    suite = ElementTree.Element(
        "testsuite",
        name="gbench compare",
        tests=str(len(verdicts)),
        failures=str(verdicts.count("regression")),
        errors="0",
        skipped=str(verdicts.count("inconclusive")),
    )
    for one in comparison.judged:
        case = ElementTree.SubElement(suite, "testcase", classname="gbench.compare", name=one.metric.name)
        if one.verdict == "regression":
            failure = ElementTree.SubElement(
                case, "failure", message=f"{change_text(one)}, threshold {percent(comparison.threshold)}"
            )
            failure.text = "\n".join(cause.text for cause in comparison.causes)
        elif one.verdict == "inconclusive":
            ElementTree.SubElement(case, "skipped", message=f"{change_text(one)}; {runs_needed(one)}")
    output = ElementTree.SubElement(suite, "system-out")
    output.text = "\n".join([comparison.sentence, *comparison.notes])
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
