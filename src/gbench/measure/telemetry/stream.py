"""telemetry.jsonl: the sampler's output during a run, one JSON object per line; and its reader.

    {"version": 1, "kind": "header", ...}      first: clock, rate, devices, what is missing and why; again after a
                                               resumption, and the lines before it don't count
    {"kind": "sample", "t_s": 12.3, ...}       at the requested rate
    {"kind": "missing", "t_s", "what", "why"}  when something becomes unreadable during the run
    {"kind": "mark", "t_s", "name"}            times that the run sent to the sampler
    {"kind": "end", "t_s", "why"}              once, unless the sampler was killed

Lines are written whole; text after the last newline is ignored. Reading never raises: if telemetry is broken or absent,
a result only lacks its telemetry.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gbench.base import strict_json
from gbench.measure.telemetry.samples import Header, Mark, Sample, Telemetry
from gbench.runfolder.telemetry_result import Missing

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
VERSION = 1
NAME = "telemetry.jsonl"


class StreamWriter:
    """Appends whole lines to a stream, unbuffered; a resumed run continues in the same file. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
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


def read_stream(path: Path) -> Telemetry:
    """The last attempt in a stream, complete or truncated; `missing` names what is broken. Never raises."""
    return read_attempts(path)[-1]


def read_attempts(path: Path) -> list[Telemetry]:
    """The telemetry of every attempt at a run, at least one, the last as `read_stream` returns it. Never raises."""
    from gbench.runfolder.json_lines import JsonLines  # here: the sampler, which only writes, stays small without it

    try:
        lines = list(JsonLines(path).new())
    except OSError as error:
        return [Telemetry(missing=[Missing("telemetry", f"{path.name} can't be read ({error.strerror or error})")])]
    if not lines:
        return [Telemetry(missing=[Missing("telemetry", f"{path.name} is empty")])]
    attempts: list[Telemetry] = []
    for line in lines:
        try:
            values = line.values()
            kind = values.pop("kind")
            if kind == "header" or not attempts:
                attempts.append(_begin(kind, values))
                if len(attempts) > 1:
                    why = "what was sampled before the run was resumed does not count"
                    attempts[-1].missing.append(Missing("telemetry", why))
            elif kind == "sample":
                attempts[-1].samples.append(_sample(values, attempts[-1]))
            elif kind == "missing":
                attempts[-1].missing.append(_checked(Missing, values))
            elif kind == "mark":
                mark = _checked(Mark, values)
                attempts[-1].marks[mark.name] = mark.t_s
            elif kind == "end":
                attempts[-1] = replace(attempts[-1], ended=str(values["why"]))
            else:
                raise ValueError(f"unknown kind {kind!r}")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            broken = Missing("telemetry", f"line {line.number} of {path.name} is broken ({error})")
            if not attempts:
                return [Telemetry(missing=[broken])]
            attempts[-1].missing.append(broken)
    return attempts


def _begin(kind: str, values: dict[str, Any]) -> Telemetry:
    if kind != "header" or values.pop("version") != VERSION:
        raise ValueError(f"not a telemetry stream of version {VERSION}")
    missing = [_checked(Missing, one) for one in values.pop("missing")]
    return Telemetry(_checked(Header, values), missing=missing)


def _sample(values: dict[str, Any], before: Telemetry) -> Sample:
    sample = _checked(Sample, values)
    assert before.header is not None, "as _begin returned it"
    if (len(sample.gpus), len(sample.rapl_uj)) != (len(before.header.gpus), len(before.header.rapl)):
        raise ValueError("not the devices of the header")
    if before.samples and sample.t_s <= before.samples[-1].t_s:
        raise ValueError(f"t_s: {sample.t_s} is not after the sample before")
    return sample


def _checked(kind: type[T], values: Any) -> T:
    """`values` as a `kind`. Raises ValueError: they are invalid; the message is one line."""
    from pydantic import ValidationError

    from gbench.base.invalid import first_problem

    try:
        checked: T = _adapters()[kind].validate_python(values)
        return checked
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error


@cache
def _adapters() -> dict[type, TypeAdapter[Any]]:
    from pydantic import TypeAdapter  # here: the sampler, which only writes, stays small without it

    return {kind: TypeAdapter(kind) for kind in (Header, Mark, Missing, Sample)}


def _without_none(value: Any) -> Any:
    """Omit fields that are None: most lines lack the once-a-second ones. Lists keep None."""
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value
