"""Import old results: the original's record files, and benchmark logs of its run scripts, with one result per line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gbench.base.untrusted import read_lines
from gbench.cndb import log_line
from gbench.cndb.record import Record, checked
from gbench.cndb.record_file import read_record
from gbench.errors import RecordError

RECORD_SUFFIXES = (".yaml", ".yml")
LOG_HINT = "give a benchmark log, or a record file named .yaml"


def read_results(path: Path, defaults: Mapping[str, Any]) -> Iterator[Record | RecordError]:
    """The results in a file, in order; for an invalid one, an error with its place and cause.

    Args:
        path: a record file (.yaml, .yml), or else a benchmark log. defaults: record keys that log lines lack.

    Raises:
        RecordError: the file itself can't be read, or is empty.
    """
    if path.suffix.lower() in RECORD_SUFFIXES:
        yield read_record(path)
        return
    found = False
    for where, line in benchmark_lines(path):
        found = True
        try:
            if isinstance(line, RecordError):
                raise line
            if not log_line.is_benchmark_line(line):
                raise RecordError(
                    f"{where} is no benchmark log line", "it would begin `network:...,`; fix or remove it"
                )
            yield checked({**defaults, **values_of(line, where)}, where)
        except RecordError as error:
            yield error
    if not found:
        raise RecordError(f"{path} holds no result", LOG_HINT)


def benchmark_lines(path: Path) -> Iterator[tuple[str, str | RecordError]]:
    """The places and lines of a log, without comments; an error for a line that isn't text. Raises RecordError."""
    for number, line in read_lines(path, LOG_HINT):
        where = f"{path} line {number}"
        if line is None:
            yield where, RecordError(f"{where} is not UTF-8 text", "fix or remove it")
        elif line.strip() and not line.startswith("#"):
            yield where, line


def values_of(line: str, where: str) -> dict[str, Any]:
    """The record keys in a benchmark log line. Raises RecordError."""
    try:
        return log_line.parse(line)
    except ValueError as error:
        raise RecordError(f"{where}: {error}", "fix or remove it") from error
