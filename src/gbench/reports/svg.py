"""matplotlib figures as inline SVG with the colours and the font of the page.

matplotlib has no CSS variables. So each of the page's colours is drawn as a placeholder colour, which is then replaced
by the page's CSS variable: one drawing works in light mode, dark mode and print.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from gbench.reports.page import COLOURS, Plot

INK, MUTED, RULE, SURFACE, BAND, WARN = "#fa0001", "#fa0002", "#fa0003", "#fa0004", "#fa0005", "#fa0006"
SERIES = ("#fa0011", "#fa0012", "#fa0013", "#fa0014")
NAMES = ("ink", "muted", "rule", "surface", "band", "warn", "series-1", "series-2", "series-3", "series-4")
VARIABLES = dict(zip((INK, MUTED, RULE, SURFACE, BAND, WARN, *SERIES), NAMES, strict=True))
WIDTH_IN = 4.2  # narrow, so that text is legible on a phone; wide screens show two side by side
LOOK = Path(__file__).with_name("plots.mplstyle")


@contextmanager
def figure(height_in: float, width_in: float = WIDTH_IN) -> Iterator[Figure]:
    """A figure in the page's style, independent of the user's matplotlib settings. Draw and call `to_svg` inside."""
    with style.context(["default", LOOK]):
        yield Figure(figsize=(width_in, height_in), layout="constrained")


def to_svg(drawn: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element; deterministic.

    Args:
        name: prefix of every id, unique on the page. description: text alternative.
    """
    buffer = io.StringIO()
    with style.context({"svg.hashsalt": name}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    view_box = re.search(r'viewBox="[^"]*"', text)
    assert view_box is not None
    attributes = f'{view_box[0]} role="img" aria-label="{escape(description)}"'
    return f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {attributes}>' + text[text.index(">") + 1 :]


def captioned(drawn: Figure, name: str, description: str, caption: str) -> Plot:
    """The figure with its caption, and both texts as its alternative."""
    return Plot(to_svg(drawn, name, f"{description}. {caption}"), caption)


def standalone(svg: str) -> str:
    """The result of `to_svg` as a separate file, with the page's colours for light and dark mode."""
    sheet = f"<style>{COLOURS}svg {{ background: var(--surface); }}</style>"
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(">", f">{sheet}", 1) + "\n"
