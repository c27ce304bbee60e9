"""What the free mappings of a record may hold: values that YAML, JSON, PostgreSQL and SQLite give back unchanged."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from typing import Any

# Above it floats are whole numbers, and PostgreSQL's jsonb gives them back without their exponent: as integers.
WHOLE_FLOATS = 2.0**53
FIGURES = ("throughput", "latency", "variance")  # which the original stores as text with their unit
MEASURED = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d].*|%.*|)", re.DOTALL)


def plain(value: Any, place: str) -> Any:
    """`value` in the one form that every store keeps: mappings with text keys, lists, text, numbers, booleans, null.

    Dates become ISO text, integral floats beyond 2**53 integers, -0.0 becomes 0.0.

    Raises:
        ValueError: NaN, infinity, text that is not Unicode or has a NUL, or a type of another kind; names `place`.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}: not a finite number")
        return int(value) if abs(value) >= WHOLE_FLOATS else value + 0.0
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {_key(key, place): plain(item, f"{place}.{key}") for key, item in value.items()}
    raise ValueError(f"{place} is a {type(value).__name__}: not a number, text, list or mapping")


def measured(value: Any) -> tuple[float, str] | None:
    """A figure written with its unit, `22.9 img/s`, as (22.9, "img/s"); None where it is no such text."""
    match = MEASURED.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not math.isfinite(float(match[1])):
        return None
    return float(match[1]), match[2].strip()


def figures_as_numbers(perf: dict[str, Any]) -> dict[str, Any]:
    """perf_data with the figures that the original stores as text with their unit as numbers, the unit beside them."""
    values = dict(perf)
    for key in FIGURES:
        figure = measured(values.get(key))
        if figure is not None:
            values[key], unit = figure
            if unit:
                values.setdefault(f"{key}_unit", unit)
    return values


def mapping_of(value: Any) -> Any:
    """What JSON text says when it is a mapping, as the original sometimes stored one; else the value itself."""
    try:
        values = json.loads(value) if isinstance(value, str) else None
    except ValueError:
        return value
    return plain(values, "JSON text") if isinstance(values, dict) else value


def _key(key: Any, place: str) -> str:
    if isinstance(key, str):
        return _text(key, f"a key of {place}")
    if isinstance(key, bool | int | float | date) or key is None:
        return str(key)
    raise ValueError(f"{place} has a {type(key).__name__} for a key")


def _text(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{place} holds text that is not Unicode") from None
    if "\0" in text:
        raise ValueError(f"{place} holds a NUL character, which no database takes")
    return text
