"""The arguments and options of the commands that run something: launch.sh's, and what its users wished for."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gbench.follow.process import Views
    from gbench.settings.resolve import Resolved

# option -> the variable of launch.sh that it stands for, and its help
VARIABLES = {
    "--image": ("CONT", "Image name; a hash of its sources is added. NAME@sha256:... is taken as it is."),
    "--dataset": ("DATASETS", "Dataset name, as it is written into the record."),
    "--datasets-dir": ("DATASETS_DIR", "Dataset folder on this host, mounted read-only at /data."),
    "--cndb-dir": ("CNDB_DIR", "CNDB folder: records go to records/ below it."),
    "--code-link": ("CODE_LINK", "Link to the model's code; must hold a commit id."),
    "--run-model-file": ("RUN_MODEL_FILE", "Run script; the project's two choose performance or convergence."),
    "--dockerfile": ("DOCKERFILE", "Dockerfile of the image."),
    "--config": ("CONFIG", "Folder of MODEL.yaml files."),
}
DATA_SOURCES = ("real", "cached", "resident", "synthetic")  # those of settings.spec, which loads too slowly for help


class Seconds(click.ParamType[float]):
    """A time span: `90`, `90s`, `15m`, `2h`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is not a time span like 90s, 15m or 2h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


class Percent(click.ParamType[float]):
    """A share: `1%`, `0.5 %`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", str(value))
        if match is None or not 0 < float(match[1]) < 100:
            self.fail(f"{value!r} is not a percentage like 1%", param, ctx)
        return float(match[1]) / 100


def _ignore_check(ctx: click.Context, param: click.Parameter, value: str) -> bool:
    if value.lower() in ("false", "0", "no", ""):
        return False
    if value.lower() in ("true", "1", "yes", "ignore_check"):
        return True
    raise click.BadParameter(f"{value!r} is neither false nor ignore_check", ctx, param)


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
    return bundle(
        [
            what_runs(required),
            click.argument("database", default="false"),
            click.argument("ignore_check", default="false", callback=_ignore_check),
        ]
    )


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
                "--profile",
                metavar="PROFILE",
                help="reference: upstream's layout and kernels (default); optimized: the switches that gbench tune "
                "found for this run. With --set speed.KEY=VALUE of your own: custom.",
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
            *(
                click.option(option, variable.lower(), metavar=variable, help=f"{text} Variable: {variable}.")
                for option, (variable, text) in VARIABLES.items()
            ),
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
    options = {variable: given.pop(variable.lower()) for variable, _ in VARIABLES.values()}
    request = Request(
        database=None if database.lower() == "false" else database,
        timeout_s=given.pop("timeout"),
        options={variable: value for variable, value in options.items() if value is not None},
        command_line=shlex.join(["gbench", *sys.argv[1:]]),
        **given,
    )
    return resolve(request, environ)


def show_plan(resolved: Resolved, rebuild: bool, as_json: bool, views: Views | None = None) -> None:
    """What --dry-run says. Raises UsageError, as the run would, where DATABASE names none to upload to.

    Args:
        views: what the run would be shown in.
    """
    from gbench.cli.output import print_plan
    from gbench.cndb.upload import config_of_run
    from gbench.host import locate_dataset, make_runner
    from gbench.preflight.devices import find_gpus
    from gbench.tuned import with_tuned_switches

    if resolved.spec.database is not None:
        config_of_run(resolved.spec.database, Path(resolved.spec.cndb_dir), os.environ)
    spec, origins = resolved.spec, resolved.origins
    if spec.profile == "optimized":
        spec = with_tuned_switches(spec, find_gpus())
        origins = {**origins, **dict.fromkeys((f"speed.{name}" for name in spec.config.speed.on), "tuned")}
    spec = locate_dataset(spec, required=False)
    request = make_runner(spec, os.environ, rebuild).describe()
    if views is not None:
        request["beside"] = views.argv(Path(spec.results_dir) / spec.run_id)
    print_plan(spec, origins, request, as_json)
