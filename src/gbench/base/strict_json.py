"""JSON as its standard has it (RFC 8259): it knows no NaN and no infinity, so both are written as null.

A diverged loss must not make a file that other readers refuse.
"""

from __future__ import annotations

import json
import math
from typing import Any

_PLAIN = json.JSONEncoder(allow_nan=False)  # made once: each step of a run is a line of JSON


def dumps(value: Any, **options: Any) -> str:
    """`json.dumps`, with null for every float that is not finite."""
    encoder = json.JSONEncoder(allow_nan=False, **options) if options else _PLAIN
    try:
        return encoder.encode(value)
    except ValueError:  # as good as never, so that looking for it costs a run's steps nothing
        return encoder.encode(_finite(value))


def loads(text: str | bytes) -> Any:
    """The values of a JSON text. Raises ValueError: no JSON, no Unicode text, or more than 200 levels deep."""
    from pydantic_core import from_json  # here: the telemetry sampler, which only writes, stays small without it

    return from_json(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
