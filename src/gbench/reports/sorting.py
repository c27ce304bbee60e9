"""Tables that sort by a click, or by Enter or Space, on a column's head; without scripts they keep their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dominate import tags as t

from gbench.reports.page import scrolling, table_head
from gbench.reports.style import asset

SCRIPT = asset("sorting.js")


@dataclass(frozen=True)
class TableCell:
    """One cell."""

    text: str
    value: float | str | None = None
    """Sort key; None: the text."""
    below: str = ""
    """Second line."""


@dataclass(frozen=True)
class Column:
    """One column."""

    head: str
    number: bool = True
    """Whether it is aligned to the right."""


def sortable(name: str, columns: Iterable[Column], rows: Iterable[Iterable[TableCell]]) -> None:
    """A sortable table. Its first column has the row headings."""
    columns = list(columns)
    with scrolling(name), t.table(cls="figures sortable"):
        table_head({column.head: "number" if column.number else "" for column in columns})
        with t.tbody():
            for row in rows:
                with t.tr():
                    for place, (column, cell) in enumerate(zip(columns, row, strict=True)):
                        attributes = {"cls": "number"} if column.number else {}
                        if cell.value is not None:
                            attributes["data_value"] = str(cell.value)
                        with t.td(**attributes) if place else t.th(scope="row", **attributes):
                            t.span(cell.text)
                            if cell.below:
                                t.div(cell.below, cls="muted")
