"""Read telemetry.jsonl. Reading never raises: if telemetry is broken or absent, a result only lacks its telemetry.

Text after the last newline is ignored.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from gbench.base.invalid import first_problem
from gbench.measure.telemetry.sample_columns import Samples, Telemetry, plain_samples
from gbench.measure.telemetry.samples import Header, Mark, Sample
from gbench.measure.telemetry.stream import VERSION
from gbench.runfolder.json_lines import JsonLine, JsonLines
from gbench.runfolder.telemetry_result import Missing

T = TypeVar("T")
SAMPLE = b'{"kind":"sample"'  # how a sample's line begins


def read_stream(path: Path) -> Telemetry:
    """The last attempt in a stream, complete or truncated; `missing` names what is broken. Never raises."""
    return read_attempts(path)[-1]


def read_attempts(path: Path) -> list[Telemetry]:
    """The telemetry of every attempt at a run, at least one, the last as `read_stream` returns it. Never raises."""
    attempts: list[_Attempt] = []
    try:
        for block in JsonLines(path).blocks(SAMPLE):
            if (
                attempts
                and len(block.texts) > 1
                and (rows := block.values()) is not None
                and attempts[-1].take_many(rows)
            ):
                continue
            for line in block.lines():
                try:
                    _take(line, attempts)
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    broken = Missing("telemetry", f"line {line.number} of {path.name} is broken ({error})")
                    if not attempts:
                        return [Telemetry(missing=[broken])]
                    attempts[-1].telemetry.missing.append(broken)
    except OSError as error:
        return [Telemetry(missing=[Missing("telemetry", f"{path.name} can't be read ({error.strerror or error})")])]
    if not attempts:
        return [Telemetry(missing=[Missing("telemetry", f"{path.name} is empty")])]
    return [attempt.finished() for attempt in attempts]


class _Attempt:
    """The telemetry of one attempt while it is read, its samples in parts."""

    def __init__(self, header: Header, missing: list[Missing]) -> None:
        self.header, self.telemetry = header, Telemetry(header, missing=missing)
        self._parts: list[Samples] = []
        self._last_s = float("-inf")

    def take_many(self, rows: list[Any]) -> bool:
        """Take many lines if all of them are samples, just as the sampler writes them. Returns whether they are."""
        samples = plain_samples(rows, self.header, self._last_s)
        if samples is not None:
            self._add(samples)
        return samples is not None

    def take(self, values: dict[str, Any]) -> None:
        """Take the sample of one line. Raises ValueError: it is invalid."""
        sample = _checked(Sample, values)
        if (len(sample.gpus), len(sample.rapl_uj)) != (len(self.header.gpus), len(self.header.rapl)):
            raise ValueError("not the devices of the header")
        if sample.t_s <= self._last_s:
            raise ValueError(f"t_s: {sample.t_s} is not after the sample before")
        self._add(Samples.of([sample]))

    def finished(self) -> Telemetry:
        return replace(self.telemetry, samples=Samples.joined(self._parts))

    def _add(self, samples: Samples) -> None:
        if len(samples):
            self._last_s = float(samples.t_s[-1])
            self._parts.append(samples)


def _take(line: JsonLine, attempts: list[_Attempt]) -> None:
    """Take a line of any kind. Raises ValueError, TypeError, KeyError or AttributeError: it is broken."""
    values = line.values()
    kind = values.pop("kind")
    if kind == "header" or not attempts:
        attempts.append(_begin(kind, values))
        if len(attempts) > 1:
            why = "what was sampled before the run was resumed does not count"
            attempts[-1].telemetry.missing.append(Missing("telemetry", why))
        return
    last = attempts[-1]
    if kind == "sample":
        last.take(values)
    elif kind == "missing":
        last.telemetry.missing.append(_checked(Missing, values))
    elif kind == "mark":
        mark = _checked(Mark, values)
        last.telemetry.marks[mark.name] = mark.t_s
    elif kind == "end":
        last.telemetry = replace(last.telemetry, ended=str(values["why"]))
    else:
        raise ValueError(f"unknown kind {kind!r}")


def _begin(kind: str, values: dict[str, Any]) -> _Attempt:
    if kind != "header" or values.pop("version") != VERSION:
        raise ValueError(f"not a telemetry stream of version {VERSION}")
    missing = [_checked(Missing, one) for one in values.pop("missing")]
    return _Attempt(_checked(Header, values), missing)


def _checked(kind: type[T], values: Any) -> T:
    """`values` as a `kind`. Raises ValueError: they are invalid; the message is one line."""
    try:
        checked: T = _adapter(cast(Any, kind)).validate_python(values)
        return checked
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
