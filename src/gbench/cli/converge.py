"""`gbench converge`: the reproduction run. Its modes are in `converge_modes`, one file each."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from gbench.cli.converge_modes.options import Alarms, VerdictOptions, verdict_options, view_options, views_of
from gbench.cli.shared.consent import trust_option
from gbench.cli.shared.run_options import RUN, WithClusters, cluster_options, run_arguments, run_options
from gbench.errors import verdicts_only


@click.command(cls=WithClusters)
@run_arguments
@click.option("--resume", "resume_dir", type=RUN, help="Resume this run from its last checkpoint.")
@trust_option
@click.option(
    "--stop-on", type=Alarms(), default=(), help="Alarms that end the run, which has failed: nan,collapse,flat, or any."
)
@click.option(
    "--estimate", is_flag=True, help="Run only the first 25 steps, and estimate how long the whole run would take."
)
@verdict_options
@view_options
@run_options()
@cluster_options
def converge(
    resume_dir: Path | None,
    trust: bool,
    estimate: bool,
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    detach: bool,
    **given: Any,
) -> None:
    """Train MODEL by its full convergence recipe, evaluate it, and write its CNDB record.

    The recipe is upstream's: 100 epochs, 100 more with the learning rate falling to zero, then an evaluation on the
    test split, as by `gbench eval`. It saves checkpoints; SIGTERM and SIGUSR1 save one immediately. --resume continues
    a run that was stopped for any reason.

    --check compares a run with a reference: exit code 0 reproduced, 1 not reproduced, 3 inconclusive, 4 the run failed.

    RUN_DIR/losses.svg and images/ show its progress. An alarm (NaN losses, a collapsed D, a flat G_L1) only warns,
    unless --stop-on makes it end the run.

    \b
    gbench converge pix2pix_resnet_9blocks 1 1 FP32
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 gpu-convergency --deterministic
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --estimate
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --stop-on nan,collapse --visdom
    gbench converge --resume results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --check
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --seeds 5
    gbench converge --check results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c --json
    gbench converge --check upstream/loss_log.txt --evaluation evaluation.json
    gbench converge --add-reference results/RUN_1 --add-reference results/RUN_2 --out our-card.yaml
    """
    from gbench.cli.converge_modes import existing_runs, new_runs

    views = views_of(given)
    options = VerdictOptions.taken_from(given)
    # launch.sh's users export RUN_MODEL_FILE to choose the kind of run; this command has only one kind.
    environ = {name: value for name, value in os.environ.items() if name != "RUN_MODEL_FILE"}
    if options.add_reference or options.checks_existing_runs:
        options.require_no_new_run(resume_dir)
    with verdicts_only() if options.checks_existing_runs or options.judges_new_runs else nullcontext():
        if options.add_reference:
            existing_runs.add_reference(options, given, environ, as_json)
        elif options.checks_existing_runs:
            existing_runs.check_existing_runs(options, given["model"], as_json)
        elif resume_dir is not None:
            new_runs.resume_run(resume_dir, options, views, trust=trust, as_json=as_json, quiet=quiet)
        else:
            how = {"estimate": estimate, "rebuild": rebuild, "dry_run": dry_run, "as_json": as_json, "quiet": quiet}
            how["detach"] = detach
            new_runs.start_runs(given, options, views, environ, **how)
