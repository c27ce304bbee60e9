"""The building blocks of pages: document, sections, cards, tables, command lines, figures."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dominate import document
from dominate import tags as t
from dominate.util import escape, raw

from gbench.reports.text import plain


def asset(name: str) -> str:
    """A style sheet or script of this folder, to embed in a page."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


COLOURS = asset("colours.css")  # for light and dark mode
CSS = COLOURS + asset("page.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src {}"  # nothing is loaded from the network
LONG = 12  # a table with more rows may continue in the next column
Rows = Iterable[tuple[str, str]]


def render(title: str, fill: Callable[[], None], script: str = "", style: str = "", images: str = "data:") -> str:
    """A page as HTML text. `fill` adds header, main and footer.

    Args:
        script: the only script that may run. style: additional CSS. images: allowed sources of images.
    """
    html = document(title=title, lang="en")
    allowed = f"; script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    with html.head:
        t.meta(charset="utf-8")
        policy = POLICY.format(images) + (allowed if script else "")
        t.meta(http_equiv="Content-Security-Policy", content=policy)
        t.meta(name="viewport", content="width=device-width, initial-scale=1")
        t.meta(name="color-scheme", content="light dark")
        t.style(raw(CSS + style))
    with html.body:
        fill()
        if script:
            t.script(raw(script))
    return str(html.render(pretty=False)) + "\n"


@dataclass(frozen=True)
class Plot:
    """An inline SVG."""

    svg: str
    caption: str


@contextmanager
def section(heading: str, name: str = "") -> Iterator[None]:
    """A section with a heading. name: the anchor that `contents` links to."""
    with t.section(id=name) if name else t.section():
        t.h2(heading)
        yield


@contextmanager
def card(heading: str, look: str = "") -> Iterator[None]:
    """A box with a heading. look: more CSS classes."""
    with t.div(cls=f"card {look}".strip()):
        t.h3(heading)
        yield


def contents(names: dict[str, str]) -> None:
    """Links to the sections of a long page: anchor -> text."""
    with t.nav(aria_label="sections"), t.ul(cls="contents"):
        for name, word in names.items():
            t.li(t.a(word, href=f"#{name}"))


def facts(pairs: Rows) -> None:
    """Names and values next to a figure, as its context."""
    with t.dl(cls="facts"):
        for name, value in pairs:
            t.dt(name)
            t.dd(value)


def headline(figure: str, unit: str, meaning: str, interval: str = "") -> None:
    with t.div():
        with t.p(cls="headline"):
            t.span(figure)
            t.span(f" {unit}", cls="unit")
        if interval:
            t.p(interval, cls="interval")
        t.p(meaning, cls="muted")


def notes(heading: str, sentences: Sequence[Any], bad: bool = False) -> None:
    """Highlighted sentences; nothing if there are none."""
    if sentences:
        with t.section():
            t.h2(heading)
            t.div(t.ul(t.li(plain(sentence)) for sentence in sentences), cls="card note bad" if bad else "card note")


def plot_card(heading: str, plot: Plot, look: str = "", below: str = "") -> None:
    with card(heading, look):
        if below:
            t.p(below, cls="muted")
        t.figure(raw(plot.svg), t.figcaption(plot.caption))


def cards(groups: dict[str, Rows], keys_as_code: bool = False) -> None:
    """One card per group that has rows, in as many columns as fit."""
    with t.div(cls="packed"):
        for heading, group in groups.items():
            if listed := list(group):
                with card(heading, "long" if len(listed) > LONG else ""):
                    table(listed, keys_as_code)


def table(listed: Rows, keys_as_code: bool = False) -> None:
    with t.table(), t.tbody():
        for name, value in listed:
            t.tr(t.th(t.code(name) if keys_as_code else name, scope="row"), t.td(link(value)))


def figure_table(columns: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> None:
    """A table of numbers, which scrolls if the screen is too narrow."""
    first, *others = columns
    with scrolling(f"table by {first}"), t.table(cls="figures"):
        table_head({first: "", **dict.fromkeys(others, "number")})
        with t.tbody():
            for name, *numbers in lines:
                with t.tr():
                    t.th(name, scope="row")
                    for number in numbers:
                        t.td(number, cls="number")


def table_head(columns: dict[str, str]) -> None:
    """The first row of a table: heading -> its CSS class."""
    with t.thead(), t.tr():
        for heading, look in columns.items():
            t.th(heading, scope="col", cls=look)


@contextmanager
def scrolling(name: str) -> Iterator[None]:
    """A box for content that may be wider than the screen: the box scrolls, also by keyboard, and not the page."""
    with t.div(cls="scroll", tabindex="0", role="region", aria_label=name):
        yield


def commands(*lines: str) -> None:
    """Command lines to copy, with line breaks only between words, not after a hyphen."""
    with t.pre():
        for number, line in enumerate(lines):
            raw("\n" if number else "")
            for place, word in enumerate(line.split(" ")):
                raw(" " if place else "")
                t.span(word)


def link(value: str) -> Any:
    """The text, as a link if it is a web address."""
    return t.a(value, href=value, rel="noreferrer") if value.startswith(("https://", "http://")) else value


@dataclass(frozen=True)
class TableCell:
    text: str
    value: float | str | None = None
    """Sort key; None: the text."""
    below: str = ""


def sortable(name: str, columns: dict[str, str], rows: Iterable[Iterable[TableCell]]) -> None:
    """A sortable table. Its first column has the row headings. columns: heading -> CSS class."""
    with scrolling(name), t.table(cls="figures sortable"):
        table_head(columns)
        t.tbody(raw("".join(_row(columns.values(), row) for row in rows)))


def _row(looks: Iterable[str], row: Iterable[TableCell]) -> str:
    """A row of a table as HTML text: dominate's tags, one for each element, take four times as long."""
    cells = zip(looks, row, strict=True)
    return f"<tr>{''.join(_cell(place == 0, look, cell) for place, (look, cell) in enumerate(cells))}</tr>"


def _cell(heads: bool, look: str, cell: TableCell) -> str:
    name, scope = ("th", ' scope="row"') if heads else ("td", "")
    attributes = f' class="{look}"' if look else ""
    if cell.value is not None:
        attributes += f' data-value="{escape(str(cell.value))}"'
    below = f'<div class="muted">{escape(cell.below)}</div>' if cell.below else ""
    return f"<{name}{attributes}{scope}><span>{escape(cell.text)}</span>{below}</{name}>"
