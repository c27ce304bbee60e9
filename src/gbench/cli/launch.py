"""`gbench launch`: launch.sh's command line, and what its users wished for."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.errors import ExitCode

if TYPE_CHECKING:
    from gbench.settings.resolve import Request

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


def _variable_options(command: Any) -> Any:
    for option, (variable, text) in reversed(VARIABLES.items()):
        command = click.option(option, variable.lower(), metavar=variable, help=f"{text} Variable: {variable}.")(
            command
        )
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model")
@click.argument("batch_size", type=click.IntRange(min=1))
@click.argument("device_count", type=click.IntRange(min=1))
@click.argument("precision")
@click.argument("database", default="false")
@click.argument("ignore_check", default="false", callback=_ignore_check)
@click.option("--device", default="cuda", show_default=True, help="cuda or cpu.")
@click.option("--runner", default="docker", show_default=True, help="docker or local (this Python environment).")
@click.option("--steps", type=click.IntRange(min=1), help="Optimisation steps to run, in place of the recipe's.")
@click.option("--warmup", type=click.IntRange(min=0), help="Least number of first steps to leave out of statistics.")
@click.option("--until-ci", type=Percent(), help="Run until the 95 % interval is this narrow to either side: 1%.")
@click.option("--max-time", "max_time_s", type=Seconds(), help="Begin no step after this much training: 90s, 10m.")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Separate runs, a record each."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of weights, dropout and data.")
@click.option("--deterministic", is_flag=True, help="Bitwise equal losses on a re-run; slower.")
@click.option("--timeout", type=Seconds(), help="End a run that takes longer: 90s, 15m, 2h.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value of the model's config: network.ngf=16."
)
@_variable_options
@click.option("--from-image", metavar="IMAGE", help="Base image, in place of the Dockerfile's.")
@click.option("--rebuild", is_flag=True, help="Build the image anew, without cache.")
@click.option("--results", "results_dir", default="results", show_default=True, help="Where run folders are made.")
@click.option("--logs", "logs_dir", default="logs", show_default=True, help="Where logs are kept beside them.")
@click.option("--dry-run", is_flag=True, help="Print what would run, with the origin of each value; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
def launch(**given: Any) -> None:
    """Run MODEL once and write its CNDB record.

    BATCH_SIZE is the total over all DEVICE_COUNT devices. PRECISION is FP32, TF32, AMP or BF16. DATABASE is false
    (upload nothing), gpu-performance, gpu-convergency, gpu-demo, or a config file; a database that is down costs exit
    code 5, and the record waits for `gbench cndb submit --pending`. IGNORE_CHECK is false or ignore_check. An option
    goes before its variable, the variable before configs/MODEL.yaml.

    \b
    gbench launch pix2pix_resnet_9blocks 32 8 FP32
    gbench launch pix2pix_resnet_9blocks 32 8 TF32 --datasets-dir /data --timeout 20m
    gbench launch pix2pix_resnet_9blocks 4 2 FP32 --device cpu --runner local --steps 20 --warmup 5 \\
        --set data.load_size=72 --set data.crop_size=64
    gbench launch pix2pix_unet_256 16 1 BF16 --dry-run
    gbench launch pix2pix_resnet_9blocks 32 8 FP32 gpu-performance
    """
    from gbench.cli.output import Terminal, finished_json, print_finished, print_json, print_plan, repeats_line
    from gbench.cndb.upload import config_of_run
    from gbench.launch import launch as run
    from gbench.launch import locate_dataset, make_runner, repeats_of
    from gbench.settings.resolve import new_run_id, resolve

    rebuild, dry_run, as_json, quiet, repeats = (
        given.pop(name) for name in ("rebuild", "dry_run", "as_json", "quiet", "repeats")
    )
    resolved = resolve(_request(given), os.environ)
    if resolved.spec.database is not None:
        config_of_run(resolved.spec.database, Path(resolved.spec.cndb_dir), os.environ)
    if dry_run:
        spec = locate_dataset(resolved.spec, required=False)
        print_plan(spec, resolved.origins, make_runner(spec, os.environ, rebuild).describe(), as_json)
        return
    finished = []
    for number in range(repeats):
        spec = resolved.spec.model_copy(update={"run_id": new_run_id(resolved.spec.model)})
        finished.append(run(spec, os.environ, Terminal(quiet), rebuild and number == 0))
        if not as_json:
            print_finished(finished[-1])
    together = repeats_of(finished) if repeats > 1 else None
    if as_json:
        runs = [finished_json(one) for one in finished]
        print_json({"runs": runs, "repeats": together and asdict(together)} if repeats > 1 else runs[0])
    elif together is not None:
        click.echo(repeats_line(together, resolved.spec.batch_size))
    not_stored = [one.not_stored for one in finished if one.not_stored is not None]
    if not_stored:
        click.echo(
            f"gbench: warning: not uploaded: {not_stored[-1]}; later: gbench cndb submit --pending "
            f"--cndb-dir {shlex.quote(resolved.spec.cndb_dir)}",
            err=True,
        )
        click.get_current_context().exit(ExitCode.NOT_UPLOADED)


def _request(given: dict[str, Any]) -> Request:
    """What the command line said, in the resolver's terms."""
    from gbench.settings.resolve import Request

    database = given.pop("database")
    options = {variable: given.pop(variable.lower()) for variable, _ in VARIABLES.values()}
    return Request(
        database=None if database.lower() == "false" else database,
        timeout_s=given.pop("timeout"),
        options={variable: value for variable, value in options.items() if value is not None},
        command_line=shlex.join(["gbench", *sys.argv[1:]]),
        **given,
    )
