"""Whole outputs, kept as files in tests/fixtures/golden/: every word and figure of them is tested.

A change of an output changes its file: GBENCH_GOLDEN=rewrite writes those of the tests that run; read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "fixtures/golden"


def check_golden(name: str, output: Any) -> None:
    """Compare an output with its file: text as it is, other values as JSON, with 6 digits of each figure."""
    text = output if isinstance(output, str) else json.dumps(rounded(output), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("GBENCH_GOLDEN") == "rewrite":
        (FOLDER / name).write_text(text)
    assert text == (FOLDER / name).read_text()


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{round(value, 12):.6g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value
