"""What a check is made of: a rule of the table (`check_table.py`), what its probe may read, and what it found."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from gbench.base.cpu_list import ranges
from gbench.errors import InfrastructureError, UsageError
from gbench.machine.gpus import Gpus
from gbench.preflight.cards import Card
from gbench.preflight.tools import Unreadable
from gbench.settings.literals import Device, RunnerName
from gbench.settings.spec import RunSpec

RankGib = Callable[[RunSpec], float | None]  # GiB that a rank needs, if it is known
Severity = Literal["ok", "info", "warning", "error"]
MILDEST_FIRST: tuple[Severity, ...] = get_args(Severity)


class NoSpec(Exception):
    """A probe that needs the run's spec has nothing to check."""


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst of them; `ok` of none."""
    return max(severities, key=MILDEST_FIRST.index, default="ok")


@dataclass(frozen=True)
class Command:
    argv: tuple[str, ...]
    clocks: bool = False
    """It sets clocks, so it runs only with --clocks."""


@dataclass(frozen=True)
class Finding:
    """The result of one probe. A `fix` replaces that of the rule."""

    severity: Severity
    found: str
    fix: str = ""
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True)
class CheckedRun:
    """The run that the machine is checked for."""

    device: Device
    runner: RunnerName
    device_count: int | None = None
    """Number of devices, from the first that is visible. None: all."""
    spec: RunSpec | None = None
    """None if the request could not be resolved."""
    unresolved: UsageError | None = None
    """Why there is no spec."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where the spec's values came from."""
    smoke: Callable[[], Mapping[str, Finding]] | None = None
    """Tests its GPUs, once: the findings by part of the smoke test. None: it is not tested."""
    rank_gib: RankGib | None = None
    """How much memory a rank needs, as pix2pix.step.rank_memory counts it. None: memory is not checked."""

    @classmethod
    def of(cls, spec: RunSpec, rank_gib: RankGib | None = None) -> "CheckedRun":
        return cls(spec.device, spec.runner, spec.devices_per_node, spec, rank_gib=rank_gib)


@dataclass(frozen=True)
class Context:
    """What a probe may read."""

    run: CheckedRun
    gpus: Gpus
    """The visible and hidden GPUs."""
    cards: tuple[Card, ...]
    """Every GPU of the host, with NVML open."""
    root: Path
    """`/`, or a folder with the same layout."""

    @property
    def spec(self) -> RunSpec:
        """The run's spec. Raises NoSpec: there is none, which is an error of the check `variables`."""
        if self.run.spec is None:
            raise NoSpec
        return self.run.spec

    def read(self, path: str) -> str:
        """The text of a file, e.g. of `proc/mounts`, stripped.

        Raises Unreadable: it does not exist, or this user may not read it.
        """
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError as error:
            raise Unreadable(f"can't read /{path}: {error.strerror}") from error

    def find(self, path: str, pattern: str) -> str:
        """The first group of a pattern in the text of a file. Raises Unreadable: as `read`, or it does not occur."""
        match = re.search(pattern, self.read(path), re.MULTILINE)
        if match is None:
            raise Unreadable("the kernel does not report it")
        return match[1]

    def allowed_cpus(self) -> str:
        """The CPUs that this process may use, as the kernel lists them. Raises Unreadable."""
        return self.find("proc/self/status", r"^Cpus_allowed_list:\s*(\S+)")

    def maybe(self, path: str) -> str:
        """Like read; empty if the file can't be read."""
        try:
            return self.read(path)
        except Unreadable:
            return ""


@dataclass(frozen=True)
class Rule:
    id: str
    what: str
    """What is checked, and what makes it a warning or an error."""
    why: str
    """How it affects a measurement."""
    fix: str
    probe: Callable[[Context], Finding | None]
    """Returns None if there is nothing to check."""
    only: frozenset[str] = frozenset()
    """The device and the runner that it is for; empty: all."""
    needed: bool = False
    """No run starts without it, so it is an error on the CPU too."""
    bound: bool = False
    """It protects the machine from the run, so it is an error on the CPU too, and holds for runs that measure nothing.
    ignore_check ignores it."""


def finding_of(probe: Callable[..., Finding | None], *arguments: Any) -> Finding | None:
    """What a probe finds: an error if something is missing, information if a fact can't be read."""
    try:
        return probe(*arguments)
    except NoSpec:
        return None
    except Unreadable as reason:
        return Finding("info", str(reason))
    except (InfrastructureError, UsageError) as error:
        return Finding("error", error.what, error.hint)


def of_each(probe: Callable[[Card, Context], Finding]) -> Callable[[Context], Finding | None]:
    """Make a probe of all GPUs of the run from a probe of one. GPUs with the same finding share one text."""

    def all_of_them(context: Context) -> Finding | None:
        cards = [card for card in context.cards if card.used]
        findings = [(card.gpu.index, finding) for card in cards if (finding := finding_of(probe, card, context))]
        return merge(findings) if findings else None

    return all_of_them


def merge(findings: list[tuple[int, Finding]]) -> Finding:
    """Merge (GPU index, finding) pairs: the worst severity, all texts, all commands."""
    indices: dict[str, list[int]] = {}
    for index, finding in findings:
        indices.setdefault(finding.found, []).append(index)
    return Finding(
        worst(finding.severity for _, finding in findings),
        "; ".join(f"GPU {ranges(sorted(of))}: {text}" for text, of in indices.items()),
        "; ".join(dict.fromkeys(finding.fix for _, finding in findings if finding.fix)),
        tuple(command for _, finding in findings for command in finding.commands),
    )
