"""`gbench converge --add-reference RUN`: make a reference from existing runs. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gbench.cli.converge_modes.options import JUDGING, MAKING_A_REFERENCE, VerdictOptions
from gbench.cli.converge_modes.verdict_output import subjects_of
from gbench.cli.shared.output import print_json
from gbench.cli.shared.run_options import given_except, resolved_of
from gbench.convergence.make_reference import make_reference, write_reference
from gbench.convergence.recipe import one_recipe, recipe_of
from gbench.errors import UsageError

STARTING = ("--dry-run", "--estimate", "--stop-on", "--visdom", "--tensorboard", "--rebuild")


def add_reference(
    options: VerdictOptions,
    resume_dir: Path | None,
    given: dict[str, Any],
    environ: Mapping[str, str],
    as_json: bool,
) -> None:
    """Make a reference from the runs of --add-reference, and write it.

    Args:
        given: the options of a new run; with MODEL, they give the recipe of the runs.
    """
    options.require_no_new_run(resume_dir)
    others = given_except({*JUDGING, *MAKING_A_REFERENCE, "as_json", "quiet"})
    if starting := [one for one in others if one in STARTING]:
        raise UsageError("--add-reference starts nothing", f"leave out {', '.join(starting)}")
    spec = resolved_of({**given, "recipe": "convergence"}, environ).spec if given["model"] else None
    assert options.out is not None
    subjects = subjects_of(options.add_reference, options.evaluation, options.quality_images)
    recipes = [] if spec is None else [(spec.model, recipe_of(spec))]
    model, recipe = one_recipe([*recipes, *((one.model, one.recipe) for one in subjects if one.recipe is not None)])
    description = options.description or f"{len(subjects)} of our own runs of {model}"
    reference = make_reference(model, description, recipe, subjects, options.quality_images)
    write_reference(reference, options.out)
    if as_json:
        print_json({"reference": str(options.out), "runs": [run.source for run in reference.runs]})
    else:
        click.echo(f"{'reference':<14}{options.out}")
        lines = sum(run.lines for run in reference.runs)
        click.echo(f"{'made from':<14}{len(reference.runs)} runs, {lines} losses of each name")
