"""`gbench launch`: launch.sh's command line, with more options."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import click

from gbench.cli.shared.run_options import measure_options, resolved_of, run_arguments, run_options, show_plan


@click.command()
@run_arguments(required=True)
@measure_options
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of separate runs, each with a record.",
)
@run_options()
def launch(**given: Any) -> None:
    """Run MODEL once and write its CNDB record.

    BATCH_SIZE is the total over all DEVICE_COUNT devices. PRECISION is FP32, TF32, AMP or BF16. DATABASE is false
    (upload nothing), gpu-performance, gpu-convergency, gpu-demo, or a config file; if the database is down, the exit
    code is 5, and the record waits for `gbench cndb submit --pending`. IGNORE_CHECK is false or ignore_check. An option
    overrides its variable, and the variable overrides configs/MODEL.yaml.

    \b
    gbench launch pix2pix_resnet_9blocks 32 8 FP32
    gbench launch pix2pix_resnet_9blocks 32 8 TF32 --datasets-dir /data --timeout 20m
    gbench launch pix2pix_resnet_9blocks 4 2 FP32 --device cpu --runner local --steps 20 --warmup 5 \\
        --set data.load_size=72 --set data.crop_size=64
    gbench launch pix2pix_unet_256 16 1 BF16 --dry-run
    gbench launch pix2pix_resnet_9blocks 32 8 FP32 gpu-performance
    """
    from gbench.cli.shared.output import (
        Terminal,
        finished_json,
        print_finished,
        print_json,
        repeats_line,
        report_not_stored,
    )
    from gbench.runs.launch import launch as run
    from gbench.runs.launch import repeats_of
    from gbench.settings.resolve import new_run_id

    rebuild, dry_run, as_json, quiet, repeats = (
        given.pop(name) for name in ("rebuild", "dry_run", "as_json", "quiet", "repeats")
    )
    resolved = resolved_of(given, os.environ)
    if dry_run:
        show_plan(resolved, rebuild, as_json, seeds=[resolved.spec.seed] * repeats if repeats > 1 else ())
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
    report_not_stored([one.not_stored for one in finished])
