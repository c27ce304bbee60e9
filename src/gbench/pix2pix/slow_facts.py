"""Facts for environment.json that take about a second to collect: the installed packages, and the work of a step.

`start_ranks` collects them in a process of their own while the ranks start. Rank 0 waits for it before the run measures
anything: after the first step, where two or more belong to the warm-up, else before it.
"""

from __future__ import annotations

import json
import os
import select
import time
from typing import Any

import torch

from gbench.measure import environment
from gbench.pix2pix.step.count_ops import work_per_image
from gbench.settings.spec import RunSpec

TIMEOUT_S = 60


def slow_facts(spec: RunSpec, device: torch.device, pipe: int | None) -> dict[str, Any]:
    """`software` and `work_per_image` of a training. torch's random state stays as it is.

    device: of this rank. pipe: from the process that collects them; None, or empty: they are collected here.
    """
    if pipe is not None and (text := _read_to_end(pipe)):
        facts: dict[str, Any] = json.loads(text)
        return facts
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        return _collect(spec)


def _read_to_end(pipe: int) -> bytes:
    """All that a process writes to a pipe, which is closed here; nothing if it does not end within TIMEOUT_S."""
    text, deadline = b"", time.monotonic() + TIMEOUT_S
    with os.fdopen(pipe, "rb", buffering=0) as file:
        while select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = file.read(1 << 16)
            if not part:
                return text
            text += part
    return b""


def write_slow_facts(spec: RunSpec, pipe: int) -> None:
    """Collect the facts of a training for `slow_facts`. Sets torch's seed."""
    with os.fdopen(pipe, "w") as file:
        json.dump(_collect(spec), file)


def _collect(spec: RunSpec) -> dict[str, Any]:
    return {"software": environment.software(), "work_per_image": work_per_image(spec).model_dump()}
