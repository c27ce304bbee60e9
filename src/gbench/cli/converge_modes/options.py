"""The options of `gbench converge`: verdicts and references, which exclude each other; live views; alarms."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from gbench.cli.shared.run_options import COUNT, FILE, FOLDER, RUN_OR_FILE, ExistingRun, bundle, out_option
from gbench.errors import UsageError
from gbench.settings.literals import AlarmKind

if TYPE_CHECKING:
    from gbench.follow.follower import Views

THIS_RUN = Path("<the run that is made>")  # value of a --check without RUN
# parameters of VerdictOptions
JUDGING = ("check", "reference", "allow", "evaluation", "images")
MAKING_A_REFERENCE = ("add_reference", "out", "description", "quality_images")
VISDOM_URL = "http://localhost:8097"  # visdom's own default
ALARMS = get_args(AlarmKind)


@dataclass(frozen=True)
class VerdictOptions:
    """The values of `verdict_options`."""

    check: tuple[Path, ...]
    seeds: int | None
    reference: tuple[Path, ...]
    allow: tuple[str, ...]
    evaluation: tuple[Path, ...]
    images: tuple[Path, ...]
    add_reference: tuple[Path, ...]
    out: Path | None
    description: str | None
    quality_images: int | None

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> "VerdictOptions":
        """Remove the options from a command's keywords. Raises UsageError: they contradict each other."""
        return cls(**{name: given.pop(name) for name in cls.__dataclass_fields__})

    @property
    def judges_new_runs(self) -> bool:
        return THIS_RUN in self.check or self.seeds is not None

    @property
    def checks_existing_runs(self) -> bool:
        """Whether to judge existing runs; then none is made."""
        return bool(set(self.check) - {THIS_RUN})

    def require_no_new_run(self, resume_dir: Path | None) -> None:
        """Raises UsageError: the options are for existing runs, but also request a new one."""
        if resume_dir is not None or self.judges_new_runs:
            raise UsageError(
                "--check RUN and --add-reference start nothing", "leave out --resume, --seeds and a --check without RUN"
            )

    def __post_init__(self) -> None:
        if self.check and self.add_reference:
            raise UsageError("--check and --add-reference exclude each other", "make the reference first")
        if self.add_reference and self.out is None:
            raise UsageError("--add-reference needs --out", "name the file to write: --out my-reference.yaml")
        if (self.out or self.description or self.quality_images) and not self.add_reference:
            raise UsageError(
                "--out, --description and --quality-images are of --add-reference", "give it, or leave them out"
            )
        if (self.reference or self.allow) and not (self.check or self.judges_new_runs):
            raise UsageError("--reference and --allow are of --check and --seeds", "give one of them")
        if self.evaluation and self.images:
            raise UsageError("--evaluation and --images both give the image quality", "leave one of them out")
        existing = self.add_reference or (() if self.judges_new_runs else self.check)
        name, given = ("--images", self.images) if self.images else ("--evaluation", self.evaluation)
        if given and len(given) != len(existing):
            raise UsageError(
                f"{name} is given {len(given)} times for {len(existing)} runs that are there",
                "give one for each run, or none",
            )


class RunToCheck(ExistingRun):
    """A run folder or a log; or THIS_RUN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return THIS_RUN if value == THIS_RUN else super().convert(value, param, ctx)


verdict_options = bundle(
    [
        click.option(
            "--check",
            multiple=True,
            is_flag=False,
            flag_value=THIS_RUN,
            type=RunToCheck(),
            metavar="[RUN]",
            help="Judge a run folder or an upstream log; repeat it for several runs of one set. Without RUN: judge the "
            "run that this command makes.",
        ),
        click.option(
            "--seeds",
            type=COUNT,
            help="Number of runs, with consecutive seeds from --seed, and one verdict on all of them.",
        ),
        click.option(
            "--reference",
            multiple=True,
            type=FILE,
            metavar="FILE",
            help="Reference to compare with; repeat it for several batch sizes, to judge one between them. Default: "
            "the model's.",
        ),
        click.option(
            "--allow",
            multiple=True,
            metavar="FIELD",
            help="Field of the recipe that may differ: optim.lr. `quality`: no evaluation is needed.",
        ),
        click.option(
            "--evaluation",
            multiple=True,
            type=FILE,
            metavar="FILE",
            help="evaluation.json of a RUN that is a log, or that has no evaluation.",
        ),
        click.option(
            "--images",
            multiple=True,
            type=FOLDER,
            metavar="DIR",
            help="Folder of the test images of a RUN that is a log: N_fake_B.png, N_real_B.png, as upstream's test.py "
            "names them.",
        ),
        click.option(
            "--add-reference",
            multiple=True,
            type=RUN_OR_FILE,
            metavar="RUN",
            help="Make a reference from RUN, or from several if repeated, and write it to --out. For a log, MODEL and "
            "the arguments after it give the recipe.",
        ),
        out_option("YAML file that --add-reference writes.", metavar="FILE"),
        click.option("--description", metavar="TEXT", help="Description of the reference: what ran, where, when."),
        click.option(
            "--quality-images",
            type=COUNT,
            metavar="N",
            help="Compute the reference's image quality over the first N test images; default: over all.",
        ),
    ]
)


class Alarms(click.ParamType[tuple[str, ...]]):
    """Names of alarms: `nan,collapse`, or `any`."""

    name = "alarms"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        if names == ("any",):
            return ALARMS
        for name in names:
            if name not in ALARMS:
                self.fail(f"{name!r} is not an alarm; choose from {', '.join(ALARMS)}, or any", param, ctx)
        return names


def _url(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from gbench.follow.follower import require_url

        require_url(value)
    return value


view_options = bundle(
    [
        click.option(
            "--visdom",
            is_flag=False,
            flag_value=VISDOM_URL,
            metavar="[URL]",
            is_eager=True,  # if it has taken the next argument as its URL, report that first
            callback=_url,
            help="Send losses and images to a visdom server during the run. "
            f"Without a value (put it last): {VISDOM_URL}.",
        ),
        click.option(
            "--tensorboard",
            is_flag=False,
            flag_value="",
            metavar="[DIR]",
            help="Write TensorBoard event files to DIR/RUN_ID. Without a value (put it last): RUN_DIR/tensorboard.",
        ),
    ]
)


def views_of(given: dict[str, Any]) -> "Views":
    """The views that the options ask for, removed from `given`. Raises InfrastructureError: one is unavailable."""
    from gbench.follow.follower import Views

    views = Views(given.pop("visdom"), given.pop("tensorboard"))
    views.require()
    return views
