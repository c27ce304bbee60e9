"""Tables that sort by a click, or by Enter or Space, on a column's head; without scripts they keep their order."""

from collections.abc import Iterable
from dataclasses import dataclass

from dominate import tags as t

from gbench.reports.page import asset, scrolling, table_head

SCRIPT = asset("sorting.js")


@dataclass(frozen=True)
class TableCell:
    text: str
    value: float | str | None = None
    """Sort key; None: the text."""
    below: str = ""
    """Second line."""


def sortable(name: str, columns: dict[str, str], rows: Iterable[Iterable[TableCell]]) -> None:
    """A sortable table. Its first column has the row headings. columns: heading -> CSS class."""
    with scrolling(name), t.table(cls="figures sortable"):
        table_head(columns)
        with t.tbody():
            for row in rows:
                with t.tr():
                    for place, (look, cell) in enumerate(zip(columns.values(), row, strict=True)):
                        attributes = {"cls": look} if look else {}
                        if cell.value is not None:
                            attributes["data_value"] = str(cell.value)
                        with t.td(**attributes) if place else t.th(scope="row", **attributes):
                            t.span(cell.text)
                            if cell.below:
                                t.div(cell.below, cls="muted")
