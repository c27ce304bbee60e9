"""The arguments and options of the commands that run something: launch.sh's, and what its users wished for."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gbench.settings import quantities
from gbench.settings.quantities import VARIABLE_OF

if TYPE_CHECKING:
    from gbench.follow.follower import Views
    from gbench.settings.resolve import Resolved
    from gbench.settings.spec import RunSpec

# help of the options that stand for a variable of launch.sh
VARIABLE_HELP = {
    "image": "Image name; a hash of its sources is added. NAME@sha256:... is taken as it is.",
    "dataset": "Dataset name, as it is written into the record.",
    "datasets_dir": "Dataset folder on this host, mounted read-only at /data.",
    "cndb_dir": "CNDB folder: records go to records/ below it.",
    "code_link": "Link to the model's code; must hold a commit id.",
    "run_model_file": "Run script; the project's two choose performance or convergence.",
    "dockerfile": "Dockerfile of the image.",
    "config": "Folder of MODEL.yaml files.",
}
DATA_SOURCES = ("real", "cached", "resident", "synthetic")  # those of settings.spec, which loads too slowly for help


class Seconds(click.ParamType[float]):
    """A time span: `90`, `90s`, `15m`, `2h`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = quantities.seconds(str(value))
        if found is None:
            self.fail(f"{value!r} is not {quantities.SPAN}", param, ctx)
        return found


class Percent(click.ParamType[float]):
    """A share: `1%`, `0.5 %`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = quantities.share(str(value))
        if found is None:
            self.fail(f"{value!r} is not {quantities.SHARE}", param, ctx)
        return found


class Variable(click.ParamType[tuple[str, str]]):
    """A variable of the run script: `NAME=VALUE`."""

    name = "variable"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name, text


def _ignore_check(ctx: click.Context, param: click.Parameter, value: str) -> bool:
    found = quantities.ignore_check(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is neither false nor ignore_check", ctx, param)
    return found


LAST_ARGUMENTS = (
    click.argument("database", default="false"),
    click.argument("ignore_check", default="false", callback=_ignore_check),
)


def what_runs(required: bool) -> Callable[[Any], Any]:
    """The arguments that say what runs on what."""
    return bundle(
        [
            click.argument("model", required=required),
            click.argument("batch_size", type=click.IntRange(min=1), required=required),
            click.argument("device_count", type=click.IntRange(min=1), required=required),
            click.argument("precision", required=required),
        ]
    )


def run_arguments(required: bool) -> Callable[[Any], Any]:
    """launch.sh's six arguments."""
    return bundle([what_runs(required), *LAST_ARGUMENTS])


def run_options(command: Any) -> Any:
    """What any run may be told."""
    return bundle(
        [
            click.option("--device", default="cuda", show_default=True, help="cuda or cpu."),
            click.option(
                "--runner", default="docker", show_default=True, help="docker or local (this Python environment)."
            ),
            click.option(
                "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of weights, dropout and data."
            ),
            click.option("--deterministic", is_flag=True, help="Bitwise equal losses on a re-run; slower."),
            click.option("--timeout", type=Seconds(), help="End a run that takes longer: 90s, 15m, 2h."),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="KEY=VALUE",
                help="A value of the model's config: network.ngf=16.",
            ),
            click.option(
                "--env",
                type=Variable(),
                multiple=True,
                metavar="NAME=VALUE",
                help="A variable for the run script alone: OMP_NUM_THREADS=4. Its value is written into the record.",
            ),
            click.option(
                "--profile",
                metavar="PROFILE",
                help="reference: upstream's layout and kernels (default); optimized: the switches that gbench tune "
                "found for this run; custom: those that you give with --set speed.KEY=VALUE.",
            ),
            click.option(
                "--data",
                "data_source",
                type=click.Choice(DATA_SOURCES),
                help="real: decode every picture in every epoch, as upstream (default); cached: decode once, crop and "
                "flip in the run; resident: the same on the device; synthetic: one batch of noise, computing alone.",
            ),
            click.option(
                "--cache-dir",
                metavar="DIR",
                help="Where decoded pictures and tunings are kept; default: ~/.cache/gbench.",
            ),
            click.option(
                "--cache-limit",
                "cache_limit_gib",
                type=click.FloatRange(min=0),
                metavar="GIB",
                default=4.0,
                show_default=True,
                help="What they may take there together; a larger dataset is read as --data real.",
            ),
            *(variable_option(name, f" Variable: {variable}.") for name, variable in VARIABLE_OF.items()),
            click.option("--from-image", metavar="IMAGE", help="Base image, in place of the Dockerfile's."),
            click.option("--rebuild", is_flag=True, help="Build the image anew, without cache."),
            click.option(
                "--results", "results_dir", default="results", show_default=True, help="Where run folders are made."
            ),
            click.option(
                "--logs", "logs_dir", default="logs", show_default=True, help="Where logs are kept beside them."
            ),
            click.option(
                "--dry-run", is_flag=True, help="Print what would run, with the origin of each value; start nothing."
            ),
            click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on stdout."),
            click.option("-q", "--quiet", is_flag=True, help="No progress, only the result."),
        ]
    )(command)


def measure_options(command: Any) -> Any:
    """How long a run that is measured takes."""
    return bundle(
        [
            click.option(
                "--steps", type=click.IntRange(min=1), help="Optimisation steps to run, in place of the recipe's."
            ),
            click.option(
                "--warmup", type=click.IntRange(min=0), help="Least number of first steps to leave out of statistics."
            ),
            click.option(
                "--until-ci", type=Percent(), help="Run until the 95 % interval is this narrow to either side: 1%."
            ),
            click.option(
                "--max-time", "max_time_s", type=Seconds(), help="Begin no step after this much training: 90s, 10m."
            ),
        ]
    )(command)


def variable_option(name: str, more: str = "") -> Callable[[Any], Any]:
    """The option that stands for a variable of launch.sh. more: of its help."""
    variable = VARIABLE_OF[name]
    option = f"--{name.replace('_', '-')}"
    return click.option(option, variable.lower(), metavar=variable, help=VARIABLE_HELP[name] + more)


def given_beside(allowed: Collection[str]) -> list[str]:
    """What the command line gives beside the parameters allowed, as one writes it."""
    context = click.get_current_context()
    return [
        parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name).upper()
        for parameter in context.command.params
        if parameter.name not in allowed
        and context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]


def bundle(decorators: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Arguments and options as one decorator; help shows them in this order."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def resolved_of(given: dict[str, Any], environ: Mapping[str, str]) -> Resolved:
    """What the command line and the variables mean. Raises UsageError."""
    from gbench.settings.resolve import Request, resolve

    database = given.pop("database")
    # a command may lack one
    options = {variable: given.pop(variable.lower(), None) for variable in VARIABLE_OF.values()}
    request = Request(
        database=None if database.lower() == "false" else database,
        timeout_s=given.pop("timeout"),
        env=dict(given.pop("env")),
        options={variable: value for variable, value in options.items() if value is not None},
        command_line=shlex.join(["gbench", *sys.argv[1:]]),
        **given,
    )
    return resolve(request, environ)


def planned(resolved: Resolved, rebuild: bool) -> tuple[RunSpec, dict[str, Any]]:
    """What would run: its spec, the dataset found where there is one, and the exact request. Raises as `show_plan`."""
    from gbench.cndb.upload import config_of_run
    from gbench.machine.gpus import find_gpus
    from gbench.runs.prepare import locate_dataset, make_runner
    from gbench.runs.switch_cache import with_tuned_switches

    spec = resolved.spec
    if spec.database is not None:
        config_of_run(spec.database, Path(spec.cndb_dir), os.environ)
    if spec.profile == "optimized":
        spec = with_tuned_switches(spec, find_gpus())
    spec = locate_dataset(spec, required=False)
    return spec, make_runner(spec, os.environ, rebuild).describe()


def show_plan(
    resolved: Resolved, rebuild: bool, as_json: bool, views: Views | None = None, seeds: Sequence[int] = ()
) -> None:
    """What --dry-run says. Raises UsageError, as the run would, where DATABASE names none to upload to.

    Args:
        views: what the run would be shown in. seeds: of the runs, one after the other, where there are several.
    """
    from gbench.cli.shared.output import print_plan

    spec, request = planned(resolved, rebuild)
    origins = resolved.origins
    if spec.tuned_by is not None:
        origins = {**origins, **dict.fromkeys((f"speed.{name}" for name in spec.config.speed.on), "tuned")}
    if views is not None:
        request["beside"] = views.argv(Path(spec.results_dir) / spec.run_id)
    print_plan(spec, origins, request, as_json, seeds)
