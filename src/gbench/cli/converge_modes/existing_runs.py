"""`gbench converge --check RUN` and `--add-reference RUN`: judge existing runs, or make a reference of them."""

from collections.abc import Mapping
from typing import Any

import click

from gbench.cli.converge_modes.options import JUDGING, MAKING_A_REFERENCE, VerdictOptions
from gbench.cli.converge_modes.verdict_output import (
    EXIT_CODES,
    print_verdict,
    reference_for,
    subjects_of,
    verdict_json,
    verdict_on,
)
from gbench.cli.shared.output import print_json, print_lines
from gbench.cli.shared.run_options import given_except, require_only, resolved_of
from gbench.convergence.make_reference import make_reference, write_reference
from gbench.convergence.recipe import one_recipe, recipe_of
from gbench.errors import UsageError
from gbench.runfolder.folder import RunFolder

TAKEN = {*JUDGING, *MAKING_A_REFERENCE, "as_json", "quiet"}
STARTING = ("--dry-run", "--estimate", "--stop-on", "--visdom", "--tensorboard", "--rebuild")


def check_existing_runs(options: VerdictOptions, model: str | None, as_json: bool) -> None:
    """Print the verdict on the runs of --check, and exit with its code. model: must be None; MODEL is for new runs."""
    if model is not None:
        raise UsageError(
            f"--check {options.check[0]} judges a run that is there, and MODEL {model} would make one",
            "leave out MODEL and what follows it; or write --check last, without RUN, to judge the run that is made",
        )
    require_only(TAKEN, "--check RUN starts nothing")
    folders = [path for path in options.check if path.is_dir()]
    reference = reference_for(options, RunFolder(folders[0]).spec() if folders else None)
    verdict = verdict_on(options, reference, options.check)
    if as_json:
        print_json(verdict_json(verdict))
    else:
        print_verdict(verdict)
    click.get_current_context().exit(EXIT_CODES[verdict.verdict])


def add_reference(options: VerdictOptions, given: dict[str, Any], environ: Mapping[str, str], as_json: bool) -> None:
    """Write a reference made of the runs of --add-reference. given: with MODEL, the recipe of the runs."""
    if starting := [one for one in given_except(TAKEN) if one in STARTING]:
        raise UsageError("--add-reference starts nothing", f"leave out {', '.join(starting)}")
    spec = resolved_of({**given, "recipe": "convergence"}, environ).spec if given["model"] else None
    assert options.out is not None
    subjects = subjects_of(options, options.add_reference, options.quality_images)
    recipes = [] if spec is None else [(spec.model, recipe_of(spec))]
    known = [(one.model, one.recipe) for one in subjects if one.recipe is not None and not one.partial]
    model, recipe = one_recipe([*recipes, *known])
    for one in subjects:
        if apart := one.differences(recipe) if one.partial else []:
            raise UsageError(f"{one.source} states another recipe: {apart[0].sentence}", "give the recipe that it ran")
    description = options.description or f"{len(subjects)} of our own runs of {model}"
    reference = make_reference(model, description, recipe, subjects, options.quality_images)
    write_reference(reference, options.out)
    if as_json:
        print_json({"reference": str(options.out), "runs": [run.source for run in reference.runs]})
    else:
        made_from = f"{len(reference.runs)} runs, {sum(run.lines for run in reference.runs)} losses of each name"
        print_lines([("reference", options.out), ("made from", made_from)])
