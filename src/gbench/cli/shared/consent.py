"""Ask before running what a record or folder of a stranger says."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gbench.cli.shared.output import echo
from gbench.errors import UsageError, printable

if TYPE_CHECKING:
    from gbench.settings.spec import RunSpec

trust_option = click.option("--trust", is_flag=True, help="Don't ask before running what somebody else's files say.")


def require_trust(why: str | None, specs: "Sequence[RunSpec]", trust: bool, code: Sequence[str] = ()) -> None:
    """Show what would run here, and ask. why: None if there is no need. code: as for `require_own`.

    Raises UsageError: neither the user nor --trust says yes.
    """
    from gbench.experiments.trust import what_runs

    if why is None or trust:
        return
    lines = [line for spec in specs for line in what_runs(spec)]
    lines += [f"code of       {code[0]}: {', '.join(name[:12] for name in code[1:])}"] if code else []
    for line in dict.fromkeys(lines):
        echo(line, err=True)
    if not (sys.stdin.isatty() and click.confirm(printable(f"{why}: run it"), err=True)):
        raise UsageError(f"{why}, so what it runs needs your consent", "read the lines above, then give --trust")


def require_own(folder: Path, specs: "Sequence[RunSpec]", trust: bool, code: Sequence[str] = ()) -> None:
    """Ask before resuming in a folder that this user's gbench did not begin. code: the repository and commits.

    Raises as `require_trust`.
    """
    from gbench.runfolder.own import is_own, mark_own

    if not is_own(folder, specs, code):
        require_trust(f"{folder} is not marked as begun by you", specs, trust, code)
        mark_own(folder, specs, code)
