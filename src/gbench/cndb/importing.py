"""Results of the past: the original's record files, and benchmark logs of its run scripts, a line a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gbench.cndb import logline
from gbench.cndb.record import Record, checked
from gbench.cndb.recordfile import read_record
from gbench.errors import RecordError

RECORD_SUFFIXES = (".yaml", ".yml")


def read_results(path: Path, defaults: Mapping[str, Any]) -> Iterator[Record | RecordError]:
    """The results in a file, in order; in place of one that can't be read, the sentence that says where and why.

    Args:
        path: a record file (.yaml, .yml), else a benchmark log. defaults: record keys that a log's lines do not give.

    Raises:
        RecordError: the file itself can't be read.
    """
    if path.suffix.lower() in RECORD_SUFFIXES:
        yield read_record(path)
        return
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip() and not line.startswith("#"):
                    yield _result_of(line, f"{path} line {number}", defaults)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RecordError(f"{path} can't be read ({why})", "give a benchmark log or a record file") from error


def _result_of(line: str, where: str, defaults: Mapping[str, Any]) -> Record | RecordError:
    try:
        if not logline.is_benchmark_line(line):
            raise RecordError(f"{where} is no benchmark log line", "it would begin `network:...,`; mend or remove it")
        return checked({**defaults, **logline.parse(line)}, where)
    except ValueError as error:
        return RecordError(f"{where}: {error}", "mend or remove it")
    except RecordError as error:
        return error
