"""The command line of a benchmark: its parser, its parts, and one line for an expected error.

`run` compiles gbench's modules, as an installation does: where PYTHONDONTWRITEBYTECODE is set, each start of a command
would compile those that it imports, which takes a tenth of `gbench summary`'s time.

Importing this module makes tests/helpers importable: its simulations are shared by tests and benchmarks.
"""

from __future__ import annotations

import argparse
import compileall
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import gbench
from gbench.errors import GbenchError

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))


def at_least_one(text: str) -> int:
    """A whole number of 1 or more. For argparse."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def parser_of(description: str | None, json: bool = False) -> argparse.ArgumentParser:
    """A parser whose help shows the script's docstring; with the option --json if asked for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if json:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    return parser


def add_parts(parser: argparse.ArgumentParser, parts: Mapping[str, Callable[[int], None]], draws: int) -> None:
    """An option for each part, and --draws."""
    for name in parts:
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--draws", type=at_least_one, default=draws)


def show_parts(parts: Mapping[str, Callable[[int], None]], arguments: argparse.Namespace) -> None:
    """Run the chosen parts; without a choice all of them."""
    chosen = [name for name in parts if getattr(arguments, name.replace("-", "_"))]
    for name in chosen or parts:
        parts[name](arguments.draws)


def run(main: Callable[[], object]) -> NoReturn:
    """Run a benchmark as a program; an expected error is one line and its exit code, as in gbench itself."""
    compileall.compile_dir(Path(gbench.__file__).parent, quiet=2)
    try:
        main()
    except GbenchError as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
    sys.exit(0)
