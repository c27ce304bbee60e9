"""The style sheet of every page, for light and dark mode, phone, wide screen and paper, with system fonts."""

from pathlib import Path


def asset(name: str) -> str:
    """A style sheet or script of this folder, to embed in a page."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


COLOURS = asset("colours.css")
CSS = COLOURS + asset("page.css")
