"""What `gbench converge` says of runs that are there: the verdict on them, or a reference made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.run_options import bundle
from gbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from gbench.convergence.judge import Subject, Verdict
    from gbench.convergence.reference import Reference
    from gbench.settings.spec import RunSpec

THIS_RUN = Path("<the run that is made>")  # of --check without a value
PATH = click.Path(path_type=Path)
EXIT_CODES = {
    "reproduced": ExitCode.OK,
    "not reproduced": ExitCode.FAILED,
    "inconclusive": ExitCode.INCONCLUSIVE,
}


@dataclass(frozen=True)
class Asked:
    """The options below."""

    check: tuple[Path, ...]
    seeds: int | None
    reference: Path | None
    allow: tuple[str, ...]
    evaluation: tuple[Path, ...]
    add_reference: tuple[Path, ...]
    out: Path | None
    description: str | None
    quality_images: int | None

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> Asked:
        """Take the options out of a command's keywords. Raises UsageError: they contradict each other."""
        asked = cls(**{name: given.pop(name) for name in cls.__dataclass_fields__})
        if asked.check and asked.add_reference:
            raise UsageError("--check and --add-reference exclude each other", "make the reference first")
        if asked.add_reference and asked.out is None:
            raise UsageError("--add-reference needs --out", "say which file to write: --out my-reference.yaml")
        if (asked.out or asked.description or asked.quality_images) and not asked.add_reference:
            raise UsageError(
                "--out, --description and --quality-images are of --add-reference", "give it, or leave them out"
            )
        if (asked.reference or asked.allow) and not (asked.check or asked.judges_own):
            raise UsageError("--reference and --allow are of --check and --seeds", "give one of them")
        subjects = asked.add_reference or (() if asked.judges_own else asked.check)
        if asked.evaluation and len(asked.evaluation) != len(subjects):
            raise UsageError(
                f"--evaluation is given {len(asked.evaluation)} times for {len(subjects)} runs that are there",
                "give one for each run, or none",
            )
        return asked

    @property
    def judges_own(self) -> bool:
        """Whether what this command runs is judged."""
        return THIS_RUN in self.check or self.seeds is not None

    @property
    def of_runs_there(self) -> bool:
        """Whether it is about runs that are there, so that none is made."""
        return bool(self.add_reference or set(self.check) - {THIS_RUN})


verdict_options = bundle(
    [
        click.option(
            "--check",
            multiple=True,
            is_flag=False,
            flag_value=THIS_RUN,
            type=PATH,
            metavar="[RUN]",
            help="Verdict on a run folder or an upstream log, several times for runs of one set; without RUN: on the "
            "run that this command makes.",
        ),
        click.option(
            "--seeds",
            type=click.IntRange(min=1),
            help="This many runs, with --seed and the seeds after it, and one verdict on them all.",
        ),
        click.option("--reference", type=PATH, metavar="FILE", help="Held against; else the model's own reference."),
        click.option(
            "--allow",
            multiple=True,
            metavar="FIELD",
            help="A field of the recipe that may differ: optim.lr; `quality`: no evaluation is needed.",
        ),
        click.option(
            "--evaluation",
            multiple=True,
            type=PATH,
            metavar="FILE",
            help="evaluation.json of a RUN that is a log, or has none of its own.",
        ),
        click.option(
            "--add-reference",
            multiple=True,
            type=PATH,
            metavar="RUN",
            help="Make a reference from RUN, given several times from all of them, and write it to --out. For a log, "
            "MODEL and what follows it say by which recipe.",
        ),
        click.option("--out", type=PATH, metavar="FILE", help="YAML file that --add-reference writes."),
        click.option("--description", metavar="TEXT", help="Of the reference: what ran, where, when."),
        click.option(
            "--quality-images",
            type=click.IntRange(min=1),
            metavar="N",
            help="Of the reference: its image quality is over the first N test images; else over all.",
        ),
    ]
)


def reference_of(asked: Asked, spec: RunSpec) -> Reference:
    """The reference for a run that is about to start. Raises UsageError: none, or the run can't reproduce it."""
    from gbench.convergence.recipe import recipe_of
    from gbench.convergence.subjects import find_reference, require_recipe

    reference = find_reference(asked.reference, spec.model)
    _require_allowed(asked, reference)
    require_recipe(reference, recipe_of(spec), asked.allow)
    return reference


def check_runs(asked: Asked, as_json: bool) -> ExitCode:
    """Print the verdict on the runs of --check."""
    from gbench.convergence.subjects import find_reference
    from gbench.runfolder.folder import RunFolder

    folders = [path for path in asked.check if path.is_dir()]
    reference = find_reference(asked.reference, RunFolder(folders[0]).spec().model if folders else None)
    _require_allowed(asked, reference)
    found = verdict_on(asked, reference, asked.check)
    if as_json:
        from gbench.cli.shared.output import print_json

        print_json(verdict_json(found))
    else:
        print_verdict(found)
    return EXIT_CODES[found.verdict]


def verdict_on(asked: Asked, reference: Reference, runs: Sequence[Path]) -> Verdict:
    """The verdict on run folders or logs."""
    from gbench.convergence.judge import judge

    return judge(reference, _subjects(runs, asked.evaluation, reference.quality_images), asked.allow)


def add_reference(asked: Asked, spec: RunSpec | None, as_json: bool) -> None:
    """Write the reference that the runs of --add-reference make.

    Args:
        spec: what the command's arguments mean, where it has any.
    """
    from gbench.convergence.make_reference import make_reference, write_reference
    from gbench.convergence.recipe import one_recipe, recipe_of

    assert asked.out is not None
    subjects = _subjects(asked.add_reference, asked.evaluation, asked.quality_images)
    given = [] if spec is None else [(spec.model, recipe_of(spec))]
    model, recipe = one_recipe([*given, *((one.model, one.recipe) for one in subjects if one.recipe is not None)])
    description = asked.description or f"{len(subjects)} of our own runs of {model}"
    reference = make_reference(model, description, recipe, subjects, asked.quality_images)
    write_reference(reference, asked.out)
    if as_json:
        from gbench.cli.shared.output import print_json

        print_json({"reference": str(asked.out), "runs": [run.source for run in reference.runs]})
    else:
        click.echo(f"{'reference':<14}{asked.out}")
        lines = sum(run.lines for run in reference.runs)
        click.echo(f"{'made from':<14}{len(reference.runs)} runs, {lines} losses of each name")


def verdict_json(found: Verdict) -> dict[str, Any]:
    """A verdict as JSON values."""
    from dataclasses import asdict

    comparisons = [{**asdict(one), "inside": one.inside} for one in found.comparisons]
    return {**asdict(found), "comparisons": comparisons, "exit_code": int(EXIT_CODES[found.verdict])}


def print_verdict(found: Verdict) -> None:
    """A verdict for a person."""
    click.echo(f"{'verdict':<14}{found.verdict}")
    for reason in found.reasons:
        click.echo(f"{'':<14}{reason}")
    click.echo(f"{'reference':<14}{found.reference}")
    click.echo(f"{'runs':<14}{', '.join(found.runs)}")
    if not found.recipe_known:
        click.echo(f"{'recipe':<14}not known: a log does not tell it")
    elif found.recipe:
        click.echo(f"{'recipe':<14}differs; its curves, judged on their own: {found.curves}")
    else:
        click.echo(f"{'recipe':<14}the reference's{', but for what --allow names' if found.allowed else ''}")
    for one in found.comparisons:
        mark = "" if one.inside else "  OUTSIDE"
        click.echo(f"{one.name:<32}{one.share + 0.0:+8.1%}  allowed {one.low:+.1%} to {one.high:+.1%}{mark}")


def _subjects(runs: Sequence[Path], evaluations: Sequence[Path], images: int | None) -> list[Subject]:
    from gbench.convergence.subjects import subject_of

    places: Sequence[Path | None] = evaluations or [None] * len(runs)
    return [subject_of(run, images, place) for run, place in zip(runs, places, strict=True)]


def _require_allowed(asked: Asked, reference: Reference) -> None:
    from gbench.convergence.judge import NO_QUALITY
    from gbench.convergence.recipe import require_fields

    require_fields(asked.allow, [*reference.recipe, NO_QUALITY])
