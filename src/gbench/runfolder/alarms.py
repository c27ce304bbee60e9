"""alarms.jsonl: the alarms of a convergence run, one JSON object per line, written as they occur; and their reader.

    {"version": 1}                                first; after a resumption again, with `resumed_after`
    {"kind": "collapse", "epoch": 12, "step": 4800, "text": "D has collapsed: ..."}

The first alarm creates the file. As in the step streams, alarms after the step that a run was resumed from don't count.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from gbench.base.files import is_there
from gbench.runfolder.json_lines import JsonLinesWriter, read_lines
from gbench.runfolder.typed_json import VERSION
from gbench.settings.literals import AlarmKind

NAME = "alarms.jsonl"


@dataclass(frozen=True)
class Alarm:
    """A problem that a person should learn of at once."""

    kind: AlarmKind
    epoch: int
    step: int
    """Step of the whole run at which it was detected."""
    text: str

    def __str__(self) -> str:
        return f"epoch {self.epoch}, step {self.step}: {self.text}"


def append_alarm(run_dir: Path, alarm: Alarm) -> None:
    """Append an alarm. Raises InfrastructureError: it can't be written."""
    first = [] if is_there(run_dir / NAME) else [{"version": VERSION}]
    with JsonLinesWriter(run_dir / NAME) as stream:
        stream.write([*first, asdict(alarm)])


def take_back_alarms(run_dir: Path, after: int) -> None:
    """Discard alarms after the step from which a run resumes. Raises InfrastructureError: it can't be written."""
    if is_there(run_dir / NAME):
        with JsonLinesWriter(run_dir / NAME) as stream:
            stream.write([{"version": VERSION, "resumed_after": after}])


def read_alarms(run_dir: Path) -> list[Alarm]:
    """The alarms of a run in order, without a last line that a crash truncated.

    Raises InfrastructureError: a broken line in the middle, or another version.
    """
    alarms: list[Alarm] = []
    begun = False

    def take(values: dict[str, Any]) -> None:
        nonlocal begun
        if "version" in values or not begun:
            after, begun = _FIRST.validate_python(values).resumed_after, True
            alarms[:] = [alarm for alarm in alarms if alarm.step <= after]
        else:
            alarms.append(_ALARM.validate_python(values))

    read_lines(run_dir / NAME, take)
    return alarms


@dataclass(frozen=True)
class _First:
    version: Literal[1]
    resumed_after: int = 0


_FIRST, _ALARM = TypeAdapter(_First), TypeAdapter(Alarm)
