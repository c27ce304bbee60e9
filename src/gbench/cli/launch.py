"""`gbench launch`: launch.sh's command line, with more options."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.run_options import COUNT, measure_options, resolved_of, run_arguments, run_options

if TYPE_CHECKING:
    from gbench.measure.spread import Repeats


@click.command()
@run_arguments(required=True)
@measure_options
@click.option("--repeats", type=COUNT, default=1, help="Number of separate runs, each with a record.")
@run_options()
def launch(repeats: int, rebuild: bool, dry_run: bool, as_json: bool, quiet: bool, **given: Any) -> None:
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
    from gbench.cli.shared.output import Terminal, finished_json, print_finished, print_json, report_not_stored
    from gbench.cli.shared.plan_output import show_plan
    from gbench.runs.launch import launch as run
    from gbench.runs.launch import repeats_of
    from gbench.settings.resolve import new_run_id

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
        click.echo(_repeats_line(together, resolved.spec.batch_size))
    report_not_stored([one.not_stored for one in finished])


def _repeats_line(repeats: Repeats, images: int) -> str:
    """Mean throughput of repeated runs, and its variation, from their step times. images: per step."""
    assert repeats.between_variance is not None and repeats.low is not None and repeats.high is not None
    between, within = (value**0.5 / repeats.mean for value in (repeats.between_variance, repeats.within_variance))
    return (
        f"{repeats.runs} runs: {images / repeats.mean:.4g} img/s, 95 % interval {images / repeats.high:.4g} to "
        f"{images / max(repeats.low, 1e-9):.4g}; standard deviation between runs {between:.2%}, of steps within a run "
        f"{within:.2%}"
    )
