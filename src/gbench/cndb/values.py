"""Valid values in the free mappings of a record: those that YAML, JSON, PostgreSQL and SQLite return unchanged."""

import json
import math
import re
import sys
from datetime import date
from typing import Any

from gbench.base import strict_json
from gbench.base.untrusted import DEPTH

# Floats above it are whole numbers, which PostgreSQL's jsonb returns without exponent, as integers.
WHOLE_FLOATS = 2.0**53
FIGURES = ("throughput", "latency", "variance")  # the original stores them as text with their unit
MEASURED = re.compile(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d].*|%.*|)", re.DOTALL)


def value_of_json(text: Any) -> Any:
    """The value of a database's JSON text; of anything else the text, which no record has in such a place."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):  # a column of SQLite may hold any value
        return str(text)


def plain(value: Any, place: str, depth: int = 0, floats_as_given: bool = False) -> Any:
    """Convert `value` to mappings with text keys, lists, text, numbers, booleans and null.

    Dates become ISO text; unless `floats_as_given`, floats of at least 2**53 become integers, and -0.0 becomes 0.0.

    Raises:
        ValueError: NaN, infinity, an integer beyond the range of floats, text that is not Unicode or has a NUL, more
            than DEPTH levels, two keys with the same text, or another type; names `place`.
    """
    if value is None or isinstance(value, bool):
        return value
    if depth > DEPTH:
        raise ValueError(f"{place[:60]}... is nested more than {DEPTH} deep")
    if isinstance(value, int):
        if abs(value) > sys.float_info.max:
            raise ValueError(f"{place} is an integer beyond {sys.float_info.max:.2g}")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}: not a finite number")
        if floats_as_given:
            return value
        return int(value) if abs(value) >= WHOLE_FLOATS else float(value) + 0.0
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(item, f"{place}[{index}]", depth + 1, floats_as_given) for index, item in enumerate(value)]
    if isinstance(value, dict):
        values = {
            _key(key, place): plain(item, f"{place}.{key}", depth + 1, floats_as_given) for key, item in value.items()
        }
        if len(values) < len(value):
            raise ValueError(f"{place} has two keys that are one as text")
        return values
    raise ValueError(f"{place} is a {type(value).__name__}: not a number, text, list or mapping")


def measured(value: Any) -> tuple[float, str] | None:
    """Parse a figure with its unit: `22.9 img/s` gives (22.9, "img/s"); None for anything else."""
    match = MEASURED.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not math.isfinite(float(match[1])):
        return None
    return float(match[1]), match[2].strip()


def figures_as_numbers(perf: dict[str, Any]) -> dict[str, Any]:
    """perf_data with the original's figures, texts with a unit, as numbers, and the unit under its own key."""
    values = dict(perf)
    for key in FIGURES:
        figure = measured(values.get(key))
        if figure is not None:
            values[key], unit = plain(figure[0], key), figure[1]
            if unit:
                values.setdefault(f"{key}_unit", unit)
    return values


def mapping_of(value: Any) -> Any:
    """The mapping in JSON text, as the original sometimes stored it; any other value unchanged."""
    try:
        values = strict_json.loads(value) if isinstance(value, str) else None
    except ValueError:
        return value
    return plain(values, "the JSON text") if isinstance(values, dict) else value


def _key(key: Any, place: str) -> str:
    if isinstance(key, str):
        return _text(key, f"a key of {place}")
    if isinstance(key, date):
        return key.isoformat()
    if isinstance(key, bool | int | float) or key is None:
        return json.dumps(plain(key, f"a key of {place}"))  # true, null, 1.0: as in the original's JSON
    raise ValueError(f"{place} has a {type(key).__name__} for a key")


def _text(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{place} holds text that is not Unicode") from None
    if "\0" in text:
        raise ValueError(f"{place} holds a NUL character, which no database takes")
    return text
