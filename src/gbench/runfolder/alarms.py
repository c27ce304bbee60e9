"""alarms.jsonl: what a convergence run warned of, one JSON object a line, written when it happened, and its reader.

    {"version": 1}                                first; again where the run was resumed, with `resumed_after`
    {"kind": "collapse", "epoch": 12, "step": 4800, "text": "D has collapsed: ..."}

The file is there only once there was something to warn of. What had come after the step that a run was resumed from
does not count, as in the step streams.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gbench.base import strict_json
from gbench.base.files import cant_write, write_all
from gbench.errors import InfrastructureError
from gbench.settings.literals import AlarmKind

NAME = "alarms.jsonl"
VERSION = 1


@dataclass(frozen=True)
class Alarm:
    """Something a person should hear of at once. step: of the whole run, at which it showed."""

    kind: AlarmKind
    epoch: int
    step: int
    text: str

    def __str__(self) -> str:
        return f"epoch {self.epoch}, step {self.step}: {self.text}"


def append_alarm(run_dir: Path, alarm: Alarm) -> None:
    """Write an alarm down. Raises InfrastructureError: the disk refuses it."""
    path = run_dir / NAME
    _append(path, [asdict(alarm)] if path.exists() else [{"version": VERSION}, asdict(alarm)])


def take_back_alarms(run_dir: Path, after: int) -> None:
    """The run goes on after this step: later alarms do not count. Raises InfrastructureError: the disk refuses it."""
    if (run_dir / NAME).exists():
        _append(run_dir / NAME, [{"version": VERSION, "resumed_after": after}])


def read_alarms(run_dir: Path) -> list[Alarm]:
    """The alarms of a run, in the order in which they came; a last line that a crash cut off is left out.

    Raises:
        InfrastructureError: a broken line in the middle, or another version.
    """
    path = run_dir / NAME
    if not path.exists():
        return []
    alarms: list[Alarm] = []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            values = json.loads(line)
            if "version" in values or number == 1:
                if values["version"] != VERSION:
                    raise ValueError(f"not of version {VERSION}")
                alarms = [alarm for alarm in alarms if alarm.step <= values.get("resumed_after", 0)]
            else:
                alarms.append(Alarm(**values))
        except (ValueError, TypeError, KeyError) as error:
            if number < len(lines) and lines[number].startswith('{"version"'):
                continue  # cut off by a crash, after which the run was resumed
            raise InfrastructureError(f"{path} line {number} is broken ({error})", "the run can't be used") from error
    return alarms


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(strict_json.dumps(row) + "\n" for row in rows)
    try:
        with path.open("ab", buffering=0) as file:
            # an empty line is none; it ends one that was cut off
            write_all(file, (f"\n{text}" if file.tell() else text).encode())
    except OSError as error:
        raise cant_write(path, error) from error
