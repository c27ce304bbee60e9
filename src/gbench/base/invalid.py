"""Values that pydantic would convert, refused; an error in one line, above all one of pydantic's."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

WITHOUT_VALUE = ("missing", "extra_forbidden", "too_short", "json_invalid")  # errors for which the value does not help
VERSIONS = (("version",), ("spec_version",), ("manifest_version",))  # the field of a file's version
MOST_CHARACTERS = 100  # shown of an invalid value


def no_boolean(value: Any) -> Any:
    """The same value of a number's field: pydantic takes true for 1. Raises PydanticCustomError."""
    if isinstance(value, bool):
        raise PydanticCustomError("no_boolean", "Input should be a number")
    return value


def first_problem(error: Exception) -> str:
    """What is wrong, on one line; the first problem of a validation error: `field: what is wrong, not VALUE`."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if not isinstance(error, ValidationError):
        return getattr(error, "strerror", None) or " ".join(str(error).split())
    problem = _first(error)
    field = ".".join(str(part) for part in problem["loc"])
    text = repr(problem["input"])
    shown = text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
    value = "" if problem["type"] in WITHOUT_VALUE else f", not {shown}"
    what = problem["msg"].replace("a valid tuple", "a list")  # of a file's own words
    return f"{field}{': ' if field else ''}{what[0].lower()}{what[1:]}{value}"


def remedy(error: Exception, again: str) -> str:
    """What to do about a file of gbench's that can't be read. again: what makes a new one."""
    if isinstance(error, PermissionError):
        return "fix its permissions"
    problem = _first(error) if isinstance(error, ValidationError) else None
    if problem and (problem["type"] == "extra_forbidden" or problem["loc"][-1:] in VERSIONS):
        return f"use the gbench version that wrote it, or {again}"
    return f"the file is damaged: restore it, or {again}"


def _first(error: ValidationError) -> ErrorDetails:
    return error.errors(include_url=False, include_context=False)[0]
