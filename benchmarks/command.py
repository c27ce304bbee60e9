"""The command line of a benchmark: numbers that can be meant, and one sentence for what stands in the way."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from gbench.errors import GbenchError


def at_least_one(text: str) -> int:
    """A number of rounds, steps, images: at least one. For argparse."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def run(main: Callable[[], object]) -> NoReturn:
    """Run a benchmark as a program; an expected error is one line and its exit code, as in gbench itself."""
    try:
        main()
    except GbenchError as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
    sys.exit(0)
