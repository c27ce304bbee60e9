"""`gbench sweep`: run a matrix of batch sizes, device counts and precisions, and print one table."""

import os
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.base.paths import SWEEP, require_readable
from gbench.cli.shared.consent import require_own, trust_option
from gbench.cli.shared.output import Terminal, echo, print_json, report_not_stored
from gbench.cli.shared.run_options import (
    COUNTS,
    LAST_ARGUMENTS,
    ExistingRun,
    bundle,
    command_line,
    measure_options,
    require_only,
    resolved_of,
    run_options,
)
from gbench.cli.shared.suggested import MODEL, PRECISIONS
from gbench.cli.shared.table import print_csv, print_table
from gbench.errors import InfrastructureError, RunFailed, UsageError

if TYPE_CHECKING:
    from gbench.experiments.sweep_file import Sweep, SweepFolder
    from gbench.experiments.sweep_matrix import Axes
    from gbench.settings.resolve import Resolved

SWEEP_DIR = ExistingRun("folder", SWEEP)
SHOWN = {"as_json", "as_csv", "quiet", "dry_run"}  # parameters that only affect the output


@click.command()
@bundle(
    [
        click.argument("matrix", type=MODEL, required=False, metavar="[MODEL|MATRIX.yaml]"),
        *LAST_ARGUMENTS,
        click.option("--batch-sizes", type=COUNTS, metavar="1,2,4", help="Totals over all devices, as in launch."),
        click.option(
            "--per-device-batch-sizes", type=COUNTS, metavar="1,2,4", help="Per device, in place of the total."
        ),
        click.option("--device-counts", type=COUNTS, metavar="1,2,4", help="Numbers of devices."),
        click.option("--precisions", type=PRECISIONS, metavar="FP32,TF32", help="Any of FP32, TF32, AMP and BF16."),
        click.option("--stop-at-oom", is_flag=True, help="Skip batches larger than one that ran out of memory."),
        click.option("--resume", "resume_dir", type=SWEEP_DIR, metavar="DIR", help="Resume the sweep in this folder."),
        trust_option,
        click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV on stdout."),
    ]
)
@measure_options
@run_options()
def sweep(
    matrix: str | None,
    resume_dir: Path | None,
    trust: bool,
    stop_at_oom: bool,
    as_csv: bool,
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Launch MODEL once for every combination of batch size, device count and precision, and print one table.

    Its columns: throughput with its 95 % interval, scaling efficiency against 1 device, memory, MFU. --batch-sizes are
    totals over all devices (strong scaling), --per-device-batch-sizes are per device (weak scaling). MATRIX.yaml is a
    spec file in which batch_size or per_device_batch_size, device_count, precision and data may be lists.

    A cell that can't run here is named and skipped. Out of memory counts as a result. A cell that fails is retried once
    after all others. --resume runs every cell that was interrupted, never begun, or failed.

    \b
    gbench sweep pix2pix_resnet_9blocks --batch-sizes 8,16,32 --device-counts 1,2,4,8 --precisions FP32,TF32
    gbench sweep pix2pix_resnet_9blocks gpu-performance --per-device-batch-sizes 4 --device-counts 1,2 --precisions AMP
    gbench sweep matrix.yaml --dry-run
    gbench sweep --resume results/20260101T000000Z-sweep-pix2pix_resnet_9blocks-1a2b3c

    Exit code 0: every cell has a result, which may be out of memory; 1: some failed, even when retried.
    """
    from gbench.experiments.sweep import go_on, plan
    from gbench.experiments.sweep_file import ENDED, SweepFolder
    from gbench.experiments.sweep_table import write_page

    if as_csv and as_json:
        raise UsageError("--csv and --json contradict each other", "give one of them")
    if resume_dir is not None:
        require_only({"resume_dir", "trust", *SHOWN}, "--resume takes all from its sweep folder")
        folder = SweepFolder(resume_dir.absolute())
        planned = folder.read()
    else:
        axes, resolved = _axes_and_base(matrix, given)
        planned = plan(axes, resolved.spec, stop_at_oom, os.environ, dataset_needed=not dry_run)
        folder = SweepFolder(planned.new_path())
    if dry_run:
        _show(folder, planned, as_json, as_csv)
        return
    if resume_dir is None:
        folder.create(planned)
    elif any(cell.state not in ENDED for cell in planned.cells):
        require_own(folder.path, [planned.spec], trust)
    terminal = Terminal(quiet)
    terminal.line(f"sweep folder {folder.path}")
    for cell in planned.cells:
        if cell.skipped:
            terminal.line(f"not run: {cell.place}: {cell.skipped}")
    result = go_on(folder, os.environ, terminal, rebuild)
    try:
        _show(folder, result.sweep, as_json, as_csv)
    finally:  # even if the reader of stdout has gone
        # a full disk may have stopped the sweep: then the hint how to resume matters more than the page
        with suppress(InfrastructureError) if result.stopped else nullcontext():
            write_page(folder, result.sweep)
    if result.stopped is not None:
        raise type(result.stopped)(result.stopped.what, f"{result.stopped.hint}; `{folder.resume_command}` goes on")
    failed = sum(cell.state == "failed" for cell in result.sweep.cells)
    try:
        report_not_stored(result.not_stored)
    finally:  # the exit code of a failure takes precedence
        if failed:
            ran = sum(not cell.skipped for cell in result.sweep.cells)
            raise RunFailed(f"{failed} of {ran} cells failed", f"`{folder.resume_command}` runs them once more")


def _axes_and_base(matrix: str | None, given: dict[str, Any]) -> "tuple[Axes, Resolved]":
    """The axes and the settings common to all cells, from the command line or its file. Raises UsageError."""
    from gbench.experiments.sweep_matrix import Axes, common_to, read_matrix
    from gbench.settings.resolve import PRECISIONS, one_of

    if matrix is None:
        raise UsageError("missing argument MODEL or MATRIX.yaml", "see gbench sweep --help")
    if matrix.endswith((".yaml", ".yml")):
        allowed = {"matrix", "stop_at_oom", "rebuild", *SHOWN}
        require_only(allowed, f"with {matrix}, all options belong in that file")
        require_readable(Path(matrix), "file")
        return read_matrix(Path(matrix), os.environ, command_line())
    total, each, counts, precisions = (
        given.pop(name) for name in ("batch_sizes", "per_device_batch_sizes", "device_counts", "precisions")
    )
    if (total is None) == (each is None):
        raise UsageError(
            "batch sizes are either totals over all devices, or a device's",
            "give --batch-sizes or --per-device-batch-sizes",
        )
    for name, value in (("--device-counts", counts), ("--precisions", precisions)):
        if value is None:
            raise UsageError(f"missing option {name}", "see gbench sweep --help")
    named = [one_of("--precisions", part.strip(), PRECISIONS) for part in precisions.split(",")]
    axes = Axes(batch_size=total, per_device_batch_size=each, device_count=counts, precision=named)
    return axes, common_to(axes, lambda place: resolved_of({"model": matrix, **given, **place}, os.environ))


def _show(folder: "SweepFolder", state: "Sweep", as_json: bool, as_csv: bool) -> None:
    from gbench.experiments.sweep_table import WORDS, Row, cells, notes, rows_of, to_json

    rows = rows_of(folder, state)
    if as_json:
        print_json(to_json(folder, state, rows))
    elif as_csv:
        print_csv(Row, map(asdict, rows))
    else:
        table = cells(rows)
        print_table(table, right=range(WORDS, len(table[0])), give_way={}, left_out=(1, 9, 8, 6))
        for note in notes(state, rows):
            echo(note)
        if folder.file.exists():  # else it is only planned
            echo(f"{'sweep':<14}{folder.path}")
