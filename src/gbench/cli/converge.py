"""`gbench converge`: the reproduction run, and going on with one that was ended."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gbench.cli.run_options import resolved_of, run_arguments, run_options, show_plan
from gbench.cli.view_options import Alarms, view_options, views_of
from gbench.errors import UsageError

NEEDED = ("model", "batch_size", "device_count", "precision")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@run_arguments(required=False)
@click.option(
    "--resume", "resume_dir", type=click.Path(path_type=Path), help="Go on with this run, from its last checkpoint."
)
@click.option(
    "--stop-on", type=Alarms(), default=(), help="Alarms that end the run with exit code 1: nan,collapse,flat, or any."
)
@click.option("--estimate", is_flag=True, help="Run the first 25 steps alone, and say how long all would take.")
@view_options
@run_options
def converge(resume_dir: Path | None, estimate: bool, **given: Any) -> None:
    """Train MODEL to its end by its convergence recipe, and write its CNDB record.

    The recipe is upstream's: 100 epochs and 100 more with the rate falling to zero. Checkpoints as it goes; SIGTERM and
    SIGUSR1 save one at once. A run that was ended, by whatever, goes on with --resume.

    RUN_DIR/losses.svg and images/ show how it goes; what looks wrong (losses that are NaN, a collapsed D, a flat G_L1)
    is a warning when it happens, and with --stop-on the end.

    \b
    gbench converge pix2pix_resnet_9blocks 1 1 FP32
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 gpu-convergency --deterministic
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --estimate
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --stop-on nan,collapse --visdom
    gbench converge --resume results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c
    """
    from gbench.cli.output import Terminal, finished_json, print_estimate, print_finished, print_json, tell_not_stored
    from gbench.launch import launch as run
    from gbench.launch import probe, probe_of, resume

    rebuild, dry_run, as_json, quiet = (given.pop(name) for name in ("rebuild", "dry_run", "as_json", "quiet"))
    views = views_of(given)
    if resume_dir is not None:
        if given["model"] is not None or given["stop_on"] or estimate:
            raise UsageError("--resume takes all from its run folder", "leave out MODEL and what follows it")
        finished = resume(resume_dir, os.environ, Terminal(quiet), views)
    else:
        missing = next((name for name in NEEDED if given[name] is None), None)
        if missing is not None:
            raise UsageError(f"missing argument {missing.upper()}", "see gbench converge --help")
        # launch.sh's documentation exports RUN_MODEL_FILE for one kind of run or the other: this command is one kind.
        environ = {name: value for name, value in os.environ.items() if name != "RUN_MODEL_FILE"}
        resolved = resolved_of({**given, "recipe": "convergence"}, environ)
        if resolved.spec.recipe == "performance":
            raise UsageError("--run-model-file names the performance run", "leave it out, or use gbench launch")
        if dry_run:
            planned = replace(resolved, spec=probe_of(resolved.spec)) if estimate else resolved
            show_plan(planned, rebuild, as_json, views)
            return
        if estimate:
            print_estimate(*probe(resolved.spec, os.environ, Terminal(quiet), rebuild, views), as_json)
            return
        finished = run(resolved.spec, os.environ, Terminal(quiet), rebuild, views=views)
    if as_json:
        print_json(finished_json(finished))
    else:
        print_finished(finished)
    tell_not_stored([finished])
