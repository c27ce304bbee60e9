"""What a check is made of: a rule of the table (`check_table.py`), what it may look at, what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from gbench.errors import UsageError
from gbench.machine.gpus import Gpus
from gbench.preflight.cards import Card
from gbench.preflight.unreadable import Unreadable
from gbench.settings.literals import Device, RunnerName
from gbench.settings.spec import RunSpec

Severity = Literal["ok", "info", "warning", "error"]
MILDEST_FIRST: tuple[Severity, ...] = get_args(Severity)


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst of them; `ok` of none."""
    return max(severities, key=MILDEST_FIRST.index, default="ok")


@dataclass(frozen=True)
class Command:
    """A command that mends something. clocks: it sets clocks, so it runs only for who asks for that too."""

    argv: tuple[str, ...]
    clocks: bool = False


@dataclass(frozen=True)
class Finding:
    """What one look gave. mend: in place of the rule's own."""

    severity: Severity
    found: str
    mend: str = ""
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True)
class Check:
    """One line of the answer.

    mend: what to do; empty when nothing is to be done. commands: those that do it. ignored: it was an error, and the
    user said to go on.
    """

    id: str
    severity: Severity
    found: str
    why: str
    mend: str = ""
    commands: tuple[Command, ...] = ()
    ignored: bool = False


@dataclass(frozen=True)
class Wanted:
    """What the machine is to be fit for.

    device_count: devices of the run, the first that it may use; None for all. spec: None where `unresolved` says why.
    origins: where its values came from.
    """

    device: Device
    runner: RunnerName
    device_count: int | None = None
    spec: RunSpec | None = None
    unresolved: UsageError | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: RunSpec) -> Wanted:
        """What one run wants."""
        return cls(spec.device, spec.runner, spec.device_count, spec)


@dataclass(frozen=True)
class Look:
    """What a probe may look at. cards: every GPU of the host, with NVML open. root: `/`, or a folder like it."""

    wanted: Wanted
    gpus: Gpus
    cards: tuple[Card, ...]
    root: Path

    def read(self, path: str) -> str:
        """The text of a file, e.g. of `proc/mounts`, without the white space around it.

        Raises:
            Unreadable: it is not there, or not to be read by this user.
        """
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError as error:
            raise Unreadable(f"can't read /{path}: {error.strerror}") from error

    def maybe(self, path: str) -> str:
        """Like read; empty for what can't be read."""
        try:
            return self.read(path)
        except Unreadable:
            return ""


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    what: what is looked at, and what makes it a warning or an error. why: what it does to a measurement. mend: what to
    do about it. only: the device and the runner it is for; empty for all. needed: without it no run starts at all,
    so it is an error on the CPU too.
    """

    id: str
    what: str
    why: str
    mend: str
    probe: Callable[[Look], Finding | None]  # None: there is nothing to look at
    only: frozenset[str] = frozenset()
    needed: bool = False
