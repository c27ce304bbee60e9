"""The streams of the run folder: one JSON object per line, appended during the run and readable at any time.

A stream begins with a line that has a version; a resumed run adds another such line. Writers append whole lines, so a
crash truncates at most the last one, which the next writer ends with a newline.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from gbench.base import strict_json
from gbench.base.files import is_there, open_file, without_waiting, write_all, write_errors
from gbench.base.invalid import first_problem
from gbench.errors import InfrastructureError
from gbench.runfolder.typed_json import UNUSABLE

FIRST = b'{"version"'  # how the first line of every attempt begins
BLOCK_BYTES = 1 << 18  # parsed at once


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


@dataclass(frozen=True)
class JsonBlock:
    """Consecutive lines of a stream, each with its newline."""

    first: int
    """The number of its first line."""
    texts: list[bytes]

    def lines(self) -> Iterator[JsonLine]:
        """Its lines, without empty ones."""
        for number, text in enumerate(self.texts, self.first):
            if text != b"\n":
                yield JsonLine(number, text[:-1])

    def values(self) -> list[Any] | None:
        """The JSON values of its lines, parsed at once; None if they must be parsed one by one.

        The lines begin with a brace. No JSON object goes on after a newline, a comma and a brace: no two broken lines
        together can pass for one.
        """
        try:
            values: list[Any] = strict_json.loads(b"[" + b",".join(self.texts) + b"]")
        except ValueError:
            return None
        return values if len(values) == len(self.texts) else None


class JsonLines:
    """Reads each line of a stream once. A last line without a newline is held back until it is complete."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._number = path, 0, 0

    def blocks(self, many: bytes) -> Iterator[JsonBlock]:
        """The lines since the last call, without any that a crash truncated. Raises OSError.

        many: how lines begin that come many in a block; any other comes alone.
        """
        with open_file(self._path) as file:
            file.seek(self._offset)
            texts = file.readlines(BLOCK_BYTES)
            while texts:
                complete = texts[-1].endswith(b"\n")
                following = file.readlines(BLOCK_BYTES) if complete else []
                rest = b"" if complete else texts.pop()
                yield from self._divided(texts, following[0] if following else rest, many)
                texts = following

    def _divided(self, texts: list[bytes], after: bytes, many: bytes) -> Iterator[JsonBlock]:
        """The blocks of these lines. after: what follows them."""
        self._offset += sum(map(len, texts))
        alone = [place for place, text in enumerate([*texts, after]) if not text.startswith(many)]
        for place in alone:
            following = texts[place] if place < len(texts) else after
            if place and following.startswith(FIRST) and JsonLine(0, texts[place - 1]).is_torn:
                texts[place - 1] = b"\n"
                alone.append(place - 1)
        bounds = {0, len(texts), *alone, *(place + 1 for place in alone if place < len(texts))}
        for start, end in pairwise(sorted(bounds)):
            yield JsonBlock(self._number + start + 1, texts[start:end])
        self._number += len(texts)

    def new(self) -> Iterator[JsonLine]:
        """As `blocks`, line by line, without empty ones."""
        for block in self.blocks(b"{\n"):
            yield from block.lines()

    def new_values(self) -> Iterator[dict[str, Any]]:
        """The objects of the new lines, without invalid lines; empty while the file does not exist."""
        if not is_there(self._path):
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
            self._file = self.enter_context(FileIO(path, "x" if new else "a", opener=without_waiting))
            if self._file.tell():
                write_all(self._file, b"\n")  # ends a truncated line; otherwise an empty line, which readers skip

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append one line per object."""
        with write_errors(self._path):
            write_all(self._file, "".join(strict_json.dumps(row) + "\n" for row in rows).encode())


def read_lines(
    path: Path,
    take: Callable[[dict[str, Any]], None],
    many: bytes = b"{\n",
    take_many: Callable[[list[Any]], bool] = lambda values: False,
) -> None:
    """Pass the object of each line to `take`, which raises ValueError if it is invalid. No file: no lines.

    many: how lines begin that are passed to `take_many`, many at a time. It takes all of them and returns True; or it
    takes none and returns False, and each is passed to `take`.

    Raises InfrastructureError: a line is broken, or the file can't be read.
    """
    try:
        if not is_there(path):
            return
        for block in JsonLines(path).blocks(many):
            if len(block.texts) > 1 and (values := block.values()) is not None and take_many(values):
                continue
            for line in block.lines():
                try:
                    take(line.values())
                except ValueError as error:
                    why = first_problem(error)
                    raise InfrastructureError(f"{path} line {line.number} is broken ({why})", UNUSABLE) from error
    except OSError as error:
        raise InfrastructureError(f"{path} can't be read ({first_problem(error)})", UNUSABLE) from error
