"""`gbench calibrate`: measure what the gates of `compare` and `nightly` can tell on this machine."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.base.paths import CALIBRATE
from gbench.base.words import count
from gbench.cli.shared.consent import require_own, trust_option
from gbench.cli.shared.output import Terminal, echo, print_json
from gbench.cli.shared.run_options import (
    COUNT,
    ExistingRun,
    command_line,
    measure_options,
    require_arguments,
    require_only,
    resolved_of,
    run_options,
    what_runs,
)
from gbench.cli.shared.table import print_table
from gbench.errors import GbenchError, Interrupted

if TYPE_CHECKING:
    from gbench.machine.calibration import Calibration, GateRates

BLOCKS = 5
WITH_RESUME = {"resume_dir", "trust", "blocks", "as_json", "quiet"}


@click.command()
@what_runs(required=False)
@measure_options
@click.option("--blocks", type=COUNT, help="Blocks of four runs, for each loss and without one.  [default: 5]")
@click.option(
    "--resume",
    "resume_dir",
    type=ExistingRun("folder", CALIBRATE),
    metavar="DIR",
    help="Resume the calibration in this folder.",
)
@trust_option
@run_options(without=("cndb_dir", "db_timeout_s"))
def calibrate(
    blocks: int | None,
    resume_dir: Path | None,
    trust: bool,
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Measure this machine's noise, its false alarms, and the smallest loss that compare and nightly find here.

    Plain runs alternate with plain runs, then with runs in which each step takes a known time longer: losses of 1, 2
    and 3 %. --blocks 5 makes 80 launches. The result is kept in the cache folder for this machine and configuration.
    `gbench compare` and `nightly` then use it in place of an assumed spread, and say what they can tell; `gbench check`
    shows it. Nothing is uploaded. docs/calibrate.md

    \b
    gbench calibrate pix2pix_resnet_9blocks 32 8 FP32
    gbench calibrate pix2pix_resnet_9blocks 4 1 FP32 --device cpu --runner local --steps 50 --blocks 8
    gbench calibrate --resume results/20260101T000000Z-calibrate-1a2b3c --blocks 10

    Exit code 0: calibrated; 1: a run failed; 4: a problem of Docker, device, dataset or disk.
    """
    from gbench.base.files import locked, require_writable
    from gbench.experiments.calibrate import CalibrationPlan, read_plan, require_machine_id
    from gbench.experiments.calibrate import calibrate as run
    from gbench.machine.calibration import FOLDER
    from gbench.runners.stopping import stoppable
    from gbench.runs.prepare import require_possible

    if resume_dir is not None:
        require_only(WITH_RESUME, "--resume takes all else from its calibration")
        folder, plan = resume_dir.absolute(), read_plan(resume_dir)
        plan = plan.replaced(blocks=blocks or plan.blocks)
        require_own(folder, [plan.spec], trust)
    else:
        from gbench.cli.shared.session_spec import new_folder

        require_arguments(given)
        resolved = resolved_of({**given, "database": "false"}, os.environ)
        if dry_run:
            from gbench.cli.shared.plan_output import show_plan

            show_plan(resolved, rebuild, as_json)
            return
        folder = new_folder("calibrate", given["results_dir"])
        plan = CalibrationPlan(command_line=command_line(), spec=resolved.spec, blocks=blocks or BLOCKS)
    require_machine_id()
    cache_dir = Path(plan.spec.cache_dir)
    require_writable(cache_dir / FOLDER)  # fail now: the result is written last
    require_possible(plan.spec, os.environ, rebuild)
    plan.create(folder, [plan.spec]) if resume_dir is None else plan.write(folder)
    observer = Terminal(quiet)
    observer.line(f"calibration folder {folder}")
    with locked(folder / ".lock", 0, f"calibration {folder}"), stoppable(None):
        try:
            result = run(plan, folder, os.environ, observer, rebuild)
        except GbenchError as error:
            hint = "what was measured is kept" if isinstance(error, Interrupted) else error.hint
            again = f"gbench calibrate --resume {shlex.quote(str(folder))}"
            raise type(error)(error.what, f"{hint}; go on with {again}") from error
    path = result.write(cache_dir)
    if as_json:
        kept = {"run_sd": result.run_sd, "calibration": str(path), "folder": str(folder)}
        print_json({**result.model_dump(), **kept})
    else:
        _print(result, path, folder)


def _print(found: Calibration, path: Path, folder: Path) -> None:
    echo(f"{found.title} on {found.host_name}", keep="")
    echo(f"{count(len(found.runs), 'plain run')}, which vary by {100 * found.run_sd:.2g} %")
    rows = [["inserted loss", "measured", "95 % interval"]]
    for one in found.slowed:
        interval = "-" if one.low is None or one.high is None else f"{100 * one.low:.2f} to {100 * one.high:.2f} %"
        rows.append([f"{100 * one.inserted:.2f} %", f"{100 * one.measured:.2f} %", interval])
    print_table(rows, right=(0, 1, 2), give_way={})
    rows = [["runs", "compare: false alarms", "finds", "nightly: false alarms", "finds"]]
    both = zip(found.compare, found.nightly, strict=True)
    rows += [[str(one.runs), *_cells(one), *_cells(other)] for one, other in both]
    print_table(rows, right=(0, 1, 2, 3, 4), give_way={})
    echo(f"{'calibration':<16}{path}")
    echo(f"{'runs':<16}{folder}")


def _cells(one: GateRates) -> tuple[str, str]:
    return f"{100 * one.false_alarms:.3g} %", f"{100 * one.finds:.2g} %"
