"""`gbench tune`: find the switches that make a step faster on this device."""

import os
from typing import TYPE_CHECKING, Any

import click

from gbench.base.size import size_text
from gbench.cli.shared.output import Terminal, echo, print_json, print_lines
from gbench.cli.shared.plan_output import show_plan
from gbench.cli.shared.run_options import SECONDS, resolved_of, run_options, what_runs
from gbench.cli.shared.table import print_table

if TYPE_CHECKING:
    from gbench.runfolder.tuning_result import Trial
    from gbench.runs.tune import FinishedTuning

# a tuning reads no images, uses no speed profile, runs the worker's own script, and writes no record and no second log
NOT_OF_A_TUNING = (
    *("data_source", "cache_limit_gib", "profile", "run_model_file"),
    *("cndb_dir", "db_timeout_s", "logs_dir"),
)


@click.command()
@what_runs(required=True)
@click.option("--max-time", type=SECONDS, default="2m", help="Total time of timed steps: 90s, 2m, 1h.")
@run_options(without=NOT_OF_A_TUNING)
def tune(max_time: float, rebuild: bool, dry_run: bool, as_json: bool, quiet: bool, **given: Any) -> None:
    """Try each switch of `speed`, alternated with a baseline, and save those that pay for --profile optimized.

    The switches are channels_last, fused or foreach Adam, torch.compile, CUDA graphs, DDP's bucket views and static
    graph, and threads. Each is tried where it applies, together with those already kept, on one batch of noise. It is
    kept if its 95 % interval lies above 1 by more than 1 %. Compile time is reported, but is not part of the ratio.
    Each gets at least four rounds, regardless of --max-time. The precision is never changed.

    \b
    gbench tune pix2pix_resnet_9blocks 32 8 FP32
    gbench launch pix2pix_resnet_9blocks 32 8 FP32 --profile optimized
    gbench tune pix2pix_resnet_9blocks 1 1 FP32 --device cpu --runner local --max-time 10m
    gbench tune pix2pix_unet_256 16 1 BF16 --dry-run
    """
    from gbench.runs.tune import tune as run
    from gbench.settings.tuning_spec import of_run

    resolved = of_run(resolved_of({**given, "database": "false"}, os.environ), max_time)
    if dry_run:
        show_plan(resolved, rebuild, as_json)
        return
    done = run(resolved.spec, os.environ, Terminal(quiet, keep=lambda text: not text.startswith("trying ")), rebuild)
    if as_json:
        paths = {"run": str(done.folder.path), "remembered": str(done.remembered)}
        print_json({"tuning": done.tuning.model_dump(), "paths": paths})
    else:
        _print(done, resolved.spec.model)


def _print(done: "FinishedTuning", model: str) -> None:
    from gbench.settings.switches import written

    tuning = done.tuning
    batch = tuning.batch_size_per_device * tuning.device_count
    devices = f"{tuning.device_count} x {tuning.device}"
    echo(f"{model}  batch {batch} on {devices}  {tuning.precision}  torch {tuning.torch_version}")
    rows = [["switch", "times as fast", "95 % interval", "set up", "pays after", "memory", "verdict"]]
    rows += [_row(written(trial.change, prefix=""), trial) for trial in tuning.trials]
    if tuning.overall is not None:
        rows.append(_row("all that was kept", tuning.overall))
    print_table(rows, right=(1, 3, 4, 5), give_way={6: 30})
    print_lines(
        [
            ("optimized", written(tuning.speed.on, prefix="") or "no switch pays here"),
            ("run", done.folder.path),
            ("remembered", done.remembered),
        ]
    )


def _row(name: str, trial: "Trial") -> list[str]:
    if trial.ratio is None or trial.base is None or trial.changed is None:
        return [name, "-", "-", "-", "-", "-", trial.why]
    after = trial.pays_after_steps
    return [
        name,
        f"{trial.ratio:.3f}",
        f"{trial.low:.3f} to {trial.high:.3f}",
        f"{trial.changed.setup_s:.1f} s",
        "-" if after is None else f"{after} steps",
        size_text(trial.changed.memory_bytes),
        trial.why.rpartition(": ")[2],
    ]
