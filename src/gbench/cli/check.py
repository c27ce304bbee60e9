"""`gbench check`: is this machine fit?"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from gbench.errors import ExitCode

MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--runner", type=click.Choice(["docker", "local"]), default="docker", show_default=True)
@click.option("--datasets-dir", metavar="DATASETS_DIR", help="Dataset folder. Variable: DATASETS_DIR.")
@click.option("--dataset", metavar="DATASETS", help="Dataset name. Variable: DATASETS.")
@click.option("--results", "results_dir", default="results", show_default=True, help="Where run folders are made.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object on stdout.")
@click.pass_context
def check(
    ctx: click.Context,
    device: str,
    runner: str,
    datasets_dir: str | None,
    dataset: str | None,
    results_dir: str,
    as_json: bool,
) -> None:
    """Look at what a launch needs, and say how to mend what is missing. Changes nothing.

    Exit code 0: fit; 1: not fit.

    \b
    gbench check
    gbench check --device cpu --runner local --datasets-dir data/synthetic
    """
    from gbench.cli.output import print_json
    from gbench.preflight.checks import Wanted, run_checks
    from gbench.preflight.devices import find_gpus
    from gbench.settings.resolve import DEFAULT_DATASETS_DIR

    wanted = Wanted(
        device,
        runner,
        dataset or os.environ.get("DATASETS") or "facades",
        Path(datasets_dir or os.environ.get("DATASETS_DIR") or DEFAULT_DATASETS_DIR).expanduser().resolve(),
        Path(results_dir).expanduser().resolve(),
    )
    found = []
    for one in run_checks(wanted, find_gpus()):
        found.append(one)
        if not as_json:
            click.echo(f"{MARKS[one.severity]}  {one.id:<18} {one.found}")
            if one.mend:
                click.echo(f"{'':<28} mend: {one.mend}")
    fit = all(one.severity != "error" for one in found)
    if as_json:
        print_json({"fit": fit, "checks": [asdict(one) for one in found]})
    else:
        click.echo(f"{'fit' if fit else 'not fit'} for {runner} on {device}")
    ctx.exit(ExitCode.OK if fit else ExitCode.FAILED)
