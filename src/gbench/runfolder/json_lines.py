"""The streams of the run folder: one JSON object per line, appended during the run and readable at any time.

A stream begins with a line that has a version; a resumed run adds another such line. Writers append whole lines, so a
crash truncates at most the last one, which the next writer ends with a newline.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from gbench.base import strict_json
from gbench.base.files import open_file, write_all, write_errors
from gbench.base.invalid import first_problem
from gbench.errors import InfrastructureError
from gbench.runfolder.typed_json import UNUSABLE

FIRST = b'{"version"'  # how the first line of every attempt begins


@dataclass(frozen=True)
class JsonLine:
    number: int
    text: bytes

    @property
    def is_torn(self) -> bool:
        """Whether it is not complete JSON."""
        try:
            strict_json.loads(self.text)
        except ValueError:
            return True
        return False

    def values(self) -> dict[str, Any]:
        """The line's JSON object. Raises ValueError: it is not one."""
        values = strict_json.loads(self.text)
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
        return values


class JsonLines:
    """Reads each line of a stream once. A last line without a newline is held back until it is complete."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._number, self._rest = path, 0, 0, b""

    def new(self) -> Iterator[JsonLine]:
        """The lines since the last call, without empty ones and any that a crash truncated. Raises OSError."""
        with open_file(self._path) as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        *texts, self._rest = (self._rest + new).split(b"\n")
        for text, after in pairwise([*texts, self._rest]):
            self._number += 1
            line = JsonLine(self._number, text)
            if text and not (after.startswith(FIRST) and line.is_torn):
                yield line

    def new_values(self) -> Iterator[dict[str, Any]]:
        """The objects of the new lines, without invalid lines; empty while the file does not exist."""
        if not self._path.exists():
            return
        for line in self.new():
            try:
                yield line.values()
            except ValueError:  # truncated by a crash, and not followed by another line yet
                continue


class JsonLinesWriter(ExitStack):
    """Appends objects to a stream as whole lines, without buffering. Raises InfrastructureError: it can't be written.

    new: the stream must not exist yet.
    """

    def __init__(self, path: Path, new: bool = False) -> None:
        super().__init__()
        self._path = path
        with write_errors(path):
            self._file = self.enter_context(path.open("xb" if new else "ab", buffering=0))
            if self._file.tell():
                write_all(self._file, b"\n")  # ends a truncated line; otherwise an empty line, which readers skip

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append one line per object."""
        with write_errors(self._path):
            write_all(self._file, "".join(strict_json.dumps(row) + "\n" for row in rows).encode())


def read_lines(path: Path, take: Callable[[dict[str, Any]], None]) -> None:
    """Pass the object of each line to `take`, which raises ValueError if it is invalid. No file: no lines.

    Raises InfrastructureError: a line is broken, or the file can't be read.
    """
    if not path.exists():
        return
    try:
        for line in JsonLines(path).new():
            try:
                take(line.values())
            except ValueError as error:
                why = first_problem(error)
                raise InfrastructureError(f"{path} line {line.number} is broken ({why})", UNUSABLE) from error
    except OSError as error:
        raise InfrastructureError(f"{path} can't be read ({first_problem(error)})", UNUSABLE) from error
