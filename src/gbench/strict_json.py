"""JSON as its standard has it (RFC 8259): it knows no NaN and no infinity, so both are written as null.

A diverged loss must not make a file that other readers refuse.
"""

from __future__ import annotations

import json
import math
from typing import Any


def dumps(value: Any, **options: Any) -> str:
    """`json.dumps`, with null for every float that is not finite."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:  # as good as never, so that it costs a run's every step nothing
        return json.dumps(_finite(value), allow_nan=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
