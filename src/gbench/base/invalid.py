"""Describe a pydantic validation error in one line."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

WITHOUT_VALUE = ("missing", "extra_forbidden", "too_short", "json_invalid")  # errors for which the value does not help
MOST_CHARACTERS = 100  # shown of an invalid value


def first_problem(error: ValidationError | TypeError) -> str:
    """The first problem of a validation error: `field: what is wrong, not VALUE`."""
    if isinstance(error, TypeError):
        return one_line(error)
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"])
    value = "" if problem["type"] in WITHOUT_VALUE else f", not {_shortened(problem['input'])}"
    return f"{field}{': ' if field else ''}{problem['msg'][0].lower()}{problem['msg'][1:]}{value}"


def one_line(error: BaseException) -> str:
    """An exception's message on one line."""
    return " ".join(str(error).split())


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
