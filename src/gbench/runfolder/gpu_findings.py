"""gpu-smoke-rankN.json: what the smoke test of one GPU has found so far. Its rank writes it before and after each part.

A rank that hangs or dies leaves the part's name in `doing`.
"""

from typing import Literal

from pydantic import BaseModel

NAME = "gpu-smoke-rank{}.json"


class GpuFinding(BaseModel, frozen=True):
    """The result of one part."""

    part: str
    severity: Literal["ok", "warning", "error"]
    found: str


class GpuFindings(BaseModel, frozen=True):
    """The content of the file."""

    uuid: str
    """As torch gives it."""
    doing: str | None
    """The part under way. None: the test has ended."""
    findings: list[GpuFinding]
