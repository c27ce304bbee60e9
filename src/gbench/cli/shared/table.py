"""Tables on a terminal."""

import csv
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from gbench.cli.shared.output import echo
from gbench.errors import printable

UNLIMITED = 100_000  # columns, if stdout is not a terminal

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how text begins that a spreadsheet would compute


def print_table(
    rows: Sequence[Sequence[str]], right: Collection[int], give_way: Mapping[int, int], left_out: Sequence[int] = ()
) -> None:
    """Print a table no wider than the terminal, with escape sequences for control characters.

    Args:
        rows: of equal length.
        right: columns to align right, for numbers.
        give_way: column -> minimum width when cut, in the order of cutting; not for figures.
        left_out: columns to omit if cutting is not enough, in the order of omission.
    """
    from rich.cells import cell_len, set_cell_size

    rows = [[printable(cell, keep="") for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    terminal = shutil.get_terminal_size(fallback=(UNLIMITED, 24)).columns
    room = terminal - 2 * (len(widths) - 1)
    for column, least in give_way.items():
        widths[column] = max(min(widths[column], least), widths[column] - max(0, sum(widths) - room))
    shown = dict(enumerate(widths))
    for column in left_out:
        if sum(shown.values()) + 2 * (len(shown) - 1) > terminal:
            del shown[column]
    for row in rows:
        cells = [
            " " * (width - cell_len(row[column])) + row[column]
            if column in right
            else _cut(row[column], width, set_cell_size)
            for column, width in shown.items()
        ]
        line = "  ".join(cells).rstrip()
        echo(line if cell_len(line) <= terminal else _cut(line, terminal, set_cell_size))


def print_csv(of: type[Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print CSV: the fields of a dataclass as headings, then a line per row; an empty cell for None."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(field.name for field in fields(of))
    writer.writerows([_cell(value) for value in row.values()] for row in rows)


def _cell(value: Any) -> Any:
    """A value for a spreadsheet: empty for None; text without control characters, an apostrophe before a formula."""
    if isinstance(value, str):
        return printable(f"'{value}" if value.startswith(FORMULA) else value)
    return "" if value is None else value


def _cut(text: str, width: int, set_size: Callable[[str, int], str]) -> str:
    fitted = set_size(text, width)
    return fitted if fitted.rstrip() == text.rstrip() else set_size(text, width - 1) + "…"
