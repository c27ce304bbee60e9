"""telemetry.jsonl: the sampler's output during a run, one JSON object per line; reader.py reads it.

    {"version": 1, "kind": "header", ...}      first: clock, rate, devices, what is missing and why; again after a
                                               resumption, and the lines before it don't count
    {"kind": "sample", "t_s": 12.3, ...}       at the requested rate
    {"kind": "missing", "t_s", "what", "why"}  when something becomes unreadable during the run
    {"kind": "mark", "t_s", "name"}            times that the run sent to the sampler
    {"kind": "end", "t_s", "why"}              once, unless the sampler was killed

Lines are written whole.
"""

import contextlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gbench.base import strict_json
from gbench.base.files import without_waiting
from gbench.measure.telemetry.samples import Header, Sample
from gbench.runfolder.telemetry_result import Missing

VERSION = 1
NAME = "telemetry.jsonl"


class StreamWriter:
    """Appends whole lines to a stream, unbuffered; a resumed run continues in the same file. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = without_waiting(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if os.fstat(self._file).st_size:
            os.write(self._file, b"\n")  # ends a truncated line; otherwise an empty line, which readers skip

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._file)

    def header(self, header: Header, missing: list[Missing]) -> None:
        unreadable = [asdict(one) for one in missing]
        self._write({"version": VERSION, "kind": "header", **asdict(header), "missing": unreadable})

    def sample(self, sample: Sample) -> None:
        self._write({"kind": "sample", **asdict(sample)})

    def missing(self, missing: Missing) -> None:
        self._write({"kind": "missing", **asdict(missing)})

    def mark(self, name: str, t_s: float) -> None:
        self._write({"kind": "mark", "t_s": t_s, "name": name})

    def end(self, why: str, t_s: float, traceback: str | None = None) -> None:
        """Write the last line; traceback: of a bug that ended the sampler."""
        self._write({"kind": "end", "t_s": t_s, "why": why, "traceback": traceback})

    def _write(self, values: dict[str, Any]) -> None:
        line = (strict_json.dumps(_without_none(values), separators=(",", ":")) + "\n").encode()
        while line:
            line = line[os.write(self._file, line) :]


def _without_none(value: Any) -> Any:
    """Omit fields that are None: most lines lack the once-a-second ones. Lists keep None."""
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value
