"""`gbench watch`: show the progress of a run that is running elsewhere."""

import sys
import time
from pathlib import Path

import click

from gbench.cli.shared.output import Terminal, print_lines
from gbench.cli.shared.run_options import ExistingRun
from gbench.errors import ExitCode, Interrupted, sentence

LOOK_EVERY_S = 1.0


@click.command()
@click.argument("run_dir", type=ExistingRun("folder", starting=True), default="latest")
@click.pass_context
def watch(ctx: click.Context, run_dir: Path) -> None:
    """Show the live line of the run, evaluation or tuning in RUN_DIR until it ends, then its state and figures.

    RUN_DIR is by default the newest run, also one that is only starting. Without a terminal it only waits for the end.
    Ctrl-C ends the watching, not the run. Exit code 0: the run is complete; 1: it is not.

    \b
    gbench watch
    gbench watch 20260101T00
    """
    from gbench.cli.shared.run_rows import row_of
    from gbench.runfolder.folder import RunFolder
    from gbench.runfolder.log import last_line
    from gbench.runners.stopping import stoppable

    folder, terminal, line = RunFolder(run_dir), Terminal(quiet=not sys.stderr.isatty()), ""
    try:
        with stoppable(None), terminal.running(folder):
            while folder.alive:
                if line != (line := last_line(folder.log)):
                    terminal.line(line)
                time.sleep(LOOK_EVERY_S)
    except Interrupted as error:
        raise Interrupted(error.what, "the run goes on, if it was running") from error
    row = row_of(folder.path)
    lines = [("run", row.path), ("state", row.state), ("figures", row.headline), ("verdict", row.verdict)]
    lines += [("problem", sentence(row.problem, row.hint))]
    print_lines((name, text) for name, text in lines if text)
    ctx.exit(ExitCode.OK if row.state == "complete" else ExitCode.FAILED)
