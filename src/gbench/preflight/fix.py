"""Mending what the checks found, by the commands they name. Processes are never among what is mended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gbench.preflight.rule import Check, Command

TIMEOUT_S = 60.0  # nvidia-smi may have to load the driver of every card first


@dataclass(frozen=True)
class Mending:
    """One command, the check that wants it, and how it went: empty before it ran."""

    check: str
    command: Command
    outcome: str = ""


def mendings(checks: Iterable[Check]) -> list[Mending]:
    """The commands that would mend what was found, in the order of the checks."""
    return [Mending(check.id, command) for check in checks for command in check.commands]


def apply(planned: Iterable[Mending], clocks: bool) -> Iterator[Mending]:
    """Run them one after the other; each comes back with its outcome. clocks: run those that set clocks too."""
    for mending in planned:
        outcome = _run(mending.command.argv) if clocks or not mending.command.clocks else "left out: needs --clocks"
        yield replace(mending, outcome=outcome)


def _run(argv: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    except FileNotFoundError:
        return f"failed: {argv[0]} is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"failed: {error}"
    if done.returncode == 0:
        return "done"
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"failed with exit code {done.returncode}{': ' + said[-1] if said else ''}"
