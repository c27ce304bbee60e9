"""JSON according to RFC 8259, which has no NaN or infinity: both are written as null.

A diverged loss must not produce a file that other readers reject.
"""

import json
import math
from typing import Any

_PLAIN = json.JSONEncoder(allow_nan=False)  # shared: a run writes one line of JSON per step


def dumps(value: Any, **options: Any) -> str:
    """`json.dumps`, with null for every non-finite float."""
    encoder = json.JSONEncoder(allow_nan=False, **options) if options else _PLAIN
    try:
        return encoder.encode(value)
    except ValueError:  # rare, so finite values need no extra pass
        return encoder.encode(_finite(value))


class RepeatedName(ValueError):
    """A key that occurs twice in a mapping."""


def loads(text: str | bytes, unique: bool = False) -> Any:
    """Parse a JSON text. unique: it is a person's, who may not know that the last of two equal keys would count.

    Raises ValueError: it is invalid JSON, not Unicode, or nested more than 200 levels deep; RepeatedName.
    """
    from pydantic_core import from_json  # here, to keep it out of the telemetry sampler, which only writes

    values = from_json(text)
    if unique:
        require_unique(text)
    return values


def require_unique(text: str | bytes) -> None:
    """Check JSON text that another parser has accepted. Raises RepeatedName: a mapping has a key twice."""
    json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            raise RepeatedName(f"{key} is there twice")
        keys.add(key)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
