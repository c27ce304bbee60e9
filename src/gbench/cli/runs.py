"""`gbench runs`: list the run folders."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from gbench.cli.shared.output import print_json
from gbench.cli.shared.run_options import FOLDER, NATURAL, json_option
from gbench.cli.shared.table import print_table

GIVE_WAY = {7: 12, 0: 17}  # column -> minimum width: 17 columns of a name still find its run
LEFT_OUT = (4, 3, 2, 5, 7)  # columns to omit on a narrow terminal, in the order of omission


@click.group(invoke_without_command=True)
@click.option("--results", "results_dir", type=FOLDER, help="Folder of run folders. Default: that of gbench launch.")
@click.option("--limit", type=NATURAL, default=20, help="At most N; 0: all.")
@json_option
@click.pass_context
def runs(ctx: click.Context, results_dir: Path | None, limit: int, as_json: bool) -> None:
    """List the run folders, newest first, those of sweeps and sessions included, with state, headline and verdict.

    States: running, complete, failed, stopped, killed (nobody saw its end), damaged (a file in it is broken). Every
    argument and option that takes a run folder also takes the beginning of a name in this list, or `latest`.

    \b
    gbench runs
    gbench runs --limit 0 --json
    gbench summary latest
    gbench report 20260101T00
    """
    from gbench.cli.shared.run_rows import HEADINGS, row_of
    from gbench.runfolder.find import run_folders
    from gbench.settings.defaults import results_folder

    if ctx.invoked_subcommand is not None:
        return
    place = results_dir or results_folder(os.environ)
    rows = [row_of(path) for path in run_folders(place)[: limit or None]]
    if as_json:
        print_json([asdict(row) for row in rows])
    elif rows:
        print_table([HEADINGS, *(row.cells for row in rows)], (3, 4), GIVE_WAY, LEFT_OUT)
    else:
        click.echo(f"no runs in {place}")
