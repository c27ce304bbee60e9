"""Changes of the code that its tests should find: functions whose body is an exception."""

from __future__ import annotations

import ast
import random
from dataclasses import dataclass
from pathlib import Path

REMOVED = 'raise RuntimeError("this function is removed")'
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Change:
    """One file as it is, and with one change; tests that run one of the lines may find it.

    function: the name and first line of the one without a body, as in its code object.
    """

    path: Path
    source: str
    changed: str
    lines: range
    function: tuple[str, int] = ("", 0)

    @property
    def first_line(self) -> int:
        """The first line that differs, from 1."""
        pairs = zip(self.source.splitlines(), self.changed.splitlines(), strict=False)
        return next(number for number, (before, after) in enumerate(pairs, 1) if before != after)


def removals(files: list[Path], count: int, seed: int) -> tuple[list[Change], int]:
    """A sample of the functions that do something, each without its body, and the number of all."""
    every = []
    for path in files:
        source = path.read_text()
        lines = source.splitlines(keepends=True)
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, FUNCTIONS):
                continue
            body = node.body[ast.get_docstring(node) is not None :]
            if not body or isinstance(body[0], ast.Pass | ast.Raise) or ast.unparse(body[0]) == "...":
                continue
            first, last = _first_line(body[0]), body[-1].end_lineno or 0
            raising = " " * body[0].col_offset + REMOVED + "\n"
            changed = "".join([*lines[: first - 1], raising, *lines[first - 1 :]])  # the rest tells its closure
            every.append(Change(path, source, changed, range(first, last + 1), (node.name, _first_line(node))))
    every.sort(key=lambda change: (change.path, change.lines.start))
    chosen = random.Random(seed).sample(range(len(every)), min(count, len(every)))
    return [every[number] for number in sorted(chosen)], len(every)


def _first_line(node: ast.stmt) -> int:
    """That of its first decorator, if it has one."""
    return min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
