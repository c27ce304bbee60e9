"""Whole numbers in text that others wrote: int() raises for `²` and for thousands of digits, in Python's words."""

import re

DIGITS = re.compile(r"[0-9]{1,19}")  # as many as the kernel writes for an amount without a limit


def whole_number(text: str) -> int | None:
    """The number that text writes with at most 19 ASCII digits; None for any other text."""
    return int(text) if DIGITS.fullmatch(text) else None
