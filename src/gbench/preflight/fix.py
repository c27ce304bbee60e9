"""Fix what the checks found, by the commands that they name. Processes are never ended."""

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gbench.preflight.rule import Command
from gbench.runfolder.host_facts import CheckFacts

TIMEOUT_S = 60.0  # nvidia-smi may first have to initialise every card


@dataclass(frozen=True)
class FixCommand:
    check: str
    command: Command
    outcome: str = ""
    """`done`, or why not; empty before it ran."""


def fix_commands(checks: Iterable[CheckFacts]) -> list[FixCommand]:
    """The commands that would fix what was found, in the order of the checks."""
    return [FixCommand(check.id, command) for check in checks for command in check.commands]


def apply(planned: Iterable[FixCommand], clocks: bool) -> Iterator[FixCommand]:
    """Run the commands in order; returns each with its outcome. clocks: also run those that set clocks."""
    for one in planned:
        outcome = _run(one.command.argv) if clocks or not one.command.clocks else "left out: needs --clocks"
        yield replace(one, outcome=outcome)


def _run(argv: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    except FileNotFoundError:
        return f"failed: {argv[0]} is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"failed: {error}"
    if done.returncode == 0:
        return "done"
    output = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"failed with exit code {done.returncode}{': ' + output[-1] if output else ''}"
