"""`gbench runs`: list the run folders, and remove old ones."""

import os
import re
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import click

from gbench.cli.shared.output import echo, print_json
from gbench.cli.shared.run_options import FOLDER, NATURAL, json_option
from gbench.cli.shared.table import print_table
from gbench.errors import ExitCode, InfrastructureError, UsageError

GIVE_WAY = {7: 12, 0: 17}  # column -> minimum width: 17 columns of a name still find its run
LEFT_OUT = (4, 3, 2, 5, 7)  # columns to omit on a narrow terminal, in the order of omission

results_option = click.option(
    "--results", "results_dir", type=FOLDER, help="Folder of run folders. Default: that of gbench launch."
)


@click.group(invoke_without_command=True)
@results_option
@click.option("--limit", type=NATURAL, default=20, help="At most N; 0: all.")
@json_option
@click.pass_context
def runs(ctx: click.Context, results_dir: Path | None, limit: int, as_json: bool) -> None:
    """List the run folders, newest first, those of sweeps and sessions included, with state, headline and verdict.

    States: running, complete, failed, hung, stopped, killed (it ended without recording how), detached (its job waits
    for `gbench launch --attach`), damaged (a file in it is broken, unreadable or gone). Every argument and option that
    takes a run folder also takes the beginning of a name in this list, or `latest`: the newest one, without a run that
    has no measured step yet, except in `gbench watch`.

    \b
    gbench runs
    gbench runs --limit 0 --json
    gbench summary latest
    gbench report 20260101T00
    """
    from gbench.cli.shared.run_rows import HEADINGS, row_of
    from gbench.runfolder.find import run_folders
    from gbench.settings.defaults import folder_of

    if ctx.invoked_subcommand is not None:
        return
    place = folder_of("results_dir", os.environ, results_dir)
    found = run_folders(place)
    rows = [row_of(path) for path in found[: limit or None]]
    if as_json:
        print_json([asdict(row) for row in rows])
    elif rows:
        print_table([HEADINGS, *(row.cells for row in rows)], (3, 4), GIVE_WAY, LEFT_OUT)
    else:
        echo(f"no runs in {place}")
    if len(rows) < len(found) and not as_json:
        echo(f"the newest {len(rows)} of {len(found)}; --limit 0 lists all", err=True)


def _keep(text: str) -> int | datetime:
    """The value of --keep: a number of runs, or since when they are kept. Raises UsageError: neither."""
    from gbench.cli.shared.entries import moment

    if re.fullmatch("[0-9]{1,5}", text):
        return int(text)
    since = moment(text, "--keep", " or a number of runs (20)")
    if since > datetime.now(timezone.utc):
        raise UsageError(f"--keep {text} is in the future", "no run would be kept; give 0 to remove all runs")
    return since


@runs.command()
@click.option(
    "--keep", required=True, metavar="N|AGE", help="The newest N runs to keep, or the age of the oldest: 30d."
)
@results_option
@click.option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
@json_option
@click.pass_context
def prune(ctx: click.Context, keep: str, results_dir: Path | None, dry_run: bool, as_json: bool) -> None:
    """Remove all run folders but the newest, and print which, and how much that frees.

    A run that is running stays, and so does a folder that gbench did not name: one of yours, or a run that you have
    renamed. The runs of sweeps and sessions belong to these, and stay too. None of them counts among the N. Records and
    logs are kept elsewhere; what is lost are raw samples, checkpoints and pages. If only gbench.yaml names the folder
    of results, --results must confirm it.

    \b
    gbench runs prune --keep 20 --dry-run
    gbench runs prune --keep 30d
    """
    from gbench.base.size import size_text
    from gbench.runfolder.find import began
    from gbench.runfolder.folder import RunFolder
    from gbench.runfolder.prune import own_runs, remove, size_of, why_kept
    from gbench.settings.defaults import folder_of, read_defaults
    from gbench.settings.resolve import RUN_TIME

    group = ctx.parent.params if ctx.parent else {}  # options may stand before `prune` too
    as_json, results_dir = as_json or group["as_json"], results_dir or group["results_dir"]
    place = folder_of("results_dir", os.environ, results_dir)
    by_default = read_defaults(os.environ)[1].get("results_dir")
    if by_default and not results_dir and not dry_run:  # the file may be a stranger's
        raise UsageError(f"only {by_default} says that runs are in {place}", f"give --results {place} to remove some")
    kept, newer = _keep(keep), 0
    own = own_runs(place)
    removed, stay, failed = dict[str, int](), dict[str, str](), False
    for path in own:
        try:
            if (why := why_kept(RunFolder(path))) is None:
                newer += 1
                if newer <= kept if isinstance(kept, int) else began(path) >= kept.strftime(RUN_TIME):
                    continue
                size = size_of(path)
                if not dry_run:
                    remove(RunFolder(path))
        except (InfrastructureError, OSError) as error:
            why, failed = str(error), True
        if why is None:
            removed[str(path)] = size
        else:
            stay[str(path)] = why
        if not as_json:
            word, what = ("kept", why) if why else ("would remove" if dry_run else "removed", size_text(size))
            echo(f"{word:<14}{path}  {what}", keep="")
    freed = sum(removed.values())
    if as_json:
        print_json({"dry_run": dry_run, "removed": removed, "freed_bytes": freed, "kept": stay})
    else:
        verb = "would be freed" if dry_run else "freed"
        echo(f"{len(removed)} of {len(own)} runs, {size_text(freed)} {verb}")
    if failed:
        ctx.exit(ExitCode.INFRASTRUCTURE)
