"""Tables that sort by a click, or by Enter or Space, on a column's head; without scripts they keep their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dominate import tags as t

from gbench.reports.page import scrolling

# A cell sorts by its data-value if it has one (numbers, times), else by its text. Empty cells come last in both orders.
SCRIPT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const down = head.ariaSort === 'ascending';
      for (const other of heads) other.removeAttribute('aria-sort');
      head.ariaSort = down ? 'descending' : 'ascending';
      const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const number = text => text === '' ? NaN : Number(text);
      const rows = [...body.rows].map(row => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (a === '' || b === '') return (a === '') - (b === '');
        const order = isNaN(number(a)) || isNaN(number(b)) ? a.localeCompare(b) : number(a) - number(b);
        return down ? -order : order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}
"""


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
        with t.thead(), t.tr():
            for column in columns:
                t.th(column.head, scope="col", cls="number" if column.number else "")
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
