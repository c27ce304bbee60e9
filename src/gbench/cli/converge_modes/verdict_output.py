"""A verdict on convergence runs: made from the options, then shown as text, JSON and exit code."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.converge_modes.options import VerdictOptions
from gbench.cli.shared.output import echo, finished_json, print_finished, print_json, print_lines, report_not_stored
from gbench.convergence.batch_sizes import AnyReference
from gbench.convergence.judge import NO_QUALITY, Subject, Verdict, judge
from gbench.convergence.recipe import recipe_of, require_fields
from gbench.convergence.subjects import find_reference, require_recipe, subject_of
from gbench.errors import ExitCode
from gbench.settings.spec import RunSpec

if TYPE_CHECKING:
    from gbench.runs.finish import FinishedRun

EXIT_CODES = {
    "reproduced": ExitCode.OK,
    "not reproduced": ExitCode.FAILED,
    "inconclusive": ExitCode.INCONCLUSIVE,
}


def reference_for(options: VerdictOptions, spec: RunSpec | None) -> AnyReference:
    """The reference of --reference, else the model's. spec: of a run to judge; None: there are logs alone.

    Raises UsageError: none exists, or --allow is no field of it.
    """
    model, batch_size = (None, None) if spec is None else (spec.model, spec.batch_size)
    reference = find_reference(options.reference, model, batch_size)
    require_fields(options.allow, [*reference.recipe, NO_QUALITY])
    return reference


def reference_for_new_runs(options: VerdictOptions, spec: RunSpec) -> AnyReference | None:
    """The reference if new runs are judged. Raises UsageError: none exists, or their recipe can't reproduce it."""
    if not options.judges_new_runs:
        return None
    reference = reference_for(options, spec)
    require_recipe(reference, recipe_of(spec), options.allow)
    return reference


def verdict_on(options: VerdictOptions, reference: AnyReference, runs: Sequence[Path]) -> Verdict:
    return judge(reference, subjects_of(options, runs, reference.quality_images), options.allow)


def subjects_of(options: VerdictOptions, runs: Sequence[Path], images: int | None) -> list[Subject]:
    """Read run folders or logs, with their evaluations or folders of images if any; quality over the first `images`."""
    files: Sequence[Path | None] = options.evaluation or options.images or [None] * len(runs)
    return [subject_of(run, images, file) for run, file in zip(runs, files, strict=True)]


def print_result(
    finished: "Sequence[FinishedRun]", options: VerdictOptions, reference: AnyReference | None, as_json: bool
) -> None:
    """Print new runs and, with a reference, the verdict on them; exit with its code."""
    verdict = reference and verdict_on(options, reference, [run.folder.path for run in finished])
    if as_json:
        runs = [finished_json(run) for run in finished]
        values = runs[0] if options.seeds is None else {"runs": runs}
        print_json({**values, "verdict": verdict_json(verdict)} if verdict else values)
    else:
        for run in finished:
            print_finished(run)
        if verdict:
            print_verdict(verdict)
    try:
        report_not_stored([run.not_stored for run in finished])
    finally:  # the exit code of a verdict takes precedence
        if verdict and verdict.verdict != "reproduced":
            click.get_current_context().exit(EXIT_CODES[verdict.verdict])


def verdict_json(found: Verdict) -> dict[str, Any]:
    comparisons = [{**asdict(one), "inside": one.inside} for one in found.comparisons]
    return {**asdict(found), "comparisons": comparisons, "exit_code": int(EXIT_CODES[found.verdict])}


def print_verdict(found: Verdict) -> None:
    if not found.recipe_known:
        recipe = "not known: a log does not tell it"
    elif found.recipe:
        recipe = f"differs; its curves, judged on their own: {found.curves}"
    else:
        recipe = "the reference's" + (", as far as the log states it" if found.recipe_partial else "")
        recipe += ", but for what --allow names" if found.allowed else ""
    print_lines([("verdict", found.verdict), *(("", reason) for reason in found.reasons)])
    print_lines([("reference", found.reference), ("runs", ", ".join(found.runs)), ("recipe", recipe)])
    for one in found.comparisons:
        mark = "" if one.inside else "  OUTSIDE"
        echo(f"{one.name:<32}{one.share + 0.0:+8.1%}  allowed {one.low:+.1%} to {one.high:+.1%}{mark}")
