"""Import old results: the original's record files, and benchmark logs of its run scripts, with one result per line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gbench.base.untrusted import read_lines
from gbench.cndb import log_line
from gbench.cndb.record import Record, checked, require_possible
from gbench.cndb.record_file import read_record
from gbench.errors import RecordError

RECORD_SUFFIXES = (".yaml", ".yml")
LOG_HINT, FIX = "give a benchmark log, or a record file named .yaml", "fix or remove it"


def read_results(path: Path, defaults: Mapping[str, Any]) -> Iterator[Record | RecordError]:
    """The results in a file, in order; then an error for the lines that can't be read for the same reason.

    Args:
        path: a record file (.yaml, .yml), or else a benchmark log. defaults: record keys that log lines lack.

    Raises RecordError: the file itself can't be read, or holds no benchmark log line.
    """
    if path.suffix.lower() in RECORD_SUFFIXES:
        yield require_possible(read_record(path), str(path))
        return
    found, unread = False, dict[tuple[str, str], list[str]]()
    for where, line in benchmark_lines(path):
        try:
            if isinstance(line, RecordError):
                raise line
            if not log_line.is_benchmark_line(line):
                raise RecordError(f"{where}: not a benchmark log line, which begins `network:...,`", FIX)
            found = True
            yield checked({**defaults, **values_of(line, where)}, where)
        except RecordError as error:
            unread.setdefault((error.what.removeprefix(where), error.hint), []).append(where)
    if not found:
        raise RecordError(f"{path} holds no benchmark log line", LOG_HINT)
    for (what, hint), (where, *others) in unread.items():
        more = f" and {len(others)} more" if others else ""
        yield RecordError(f"{where}{more}{what}", hint, 1 + len(others))


def benchmark_lines(path: Path) -> Iterator[tuple[str, str | RecordError]]:
    """The places and lines of a log, without comments; an error for a line that isn't text. Raises RecordError."""
    for number, line in read_lines(path, LOG_HINT):
        where = f"{path} line {number}"
        if line is None:
            yield where, RecordError(f"{where}: not UTF-8 text", FIX)
        elif line.strip() and not line.startswith("#"):
            yield where, line


def values_of(line: str, where: str) -> dict[str, Any]:
    """The record keys in a benchmark log line. Raises RecordError."""
    try:
        return log_line.parse(line)
    except ValueError as error:
        raise RecordError(f"{where}: {error}", FIX) from error
