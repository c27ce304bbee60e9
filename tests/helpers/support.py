"""Types and values that tests share."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The same code path as a full-size run, on few and small feature maps.
SMALL = {
    "data.load_size": 36,
    "data.crop_size": 32,
    "data.workers": 0,
    "network.ngf": 4,
    "network.ndf": 4,
    "schedule.print_every": 1,
    "measure.peak_seconds": 0,
}

# Tests that start two ranks, which together need much memory, run in one process of pytest-xdist: never two at once.
SERVERS = ("docker_client", "postgres", "browser", "slurm")  # fixtures of system tests
two_ranks = pytest.mark.xdist_group("two_ranks")
# Tests of commands that take no ignore_check, or of cores.
two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


def spec_of_script(script: Path, facades: Path) -> dict[str, Any]:
    """The values of a spec file that runs a script on this host's processor."""
    return {
        "model": "pix2pix_resnet_9blocks",
        "batch_size": 4,
        "device_count": 1,
        "precision": "FP32",
        "device": "cpu",
        "runner": "local",
        "datasets_dir": str(facades),
        "dataset": "synthetic",
        "run_model_file": str(script),
    }


@dataclass(frozen=True)
class Answer:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=_not_json)


def _not_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON, though Python reads it")


def server_of(item: pytest.Item) -> str | None:
    """The server that a test uses, the first alone: pytest-xdist would make another group of two names."""
    return next((server for server in SERVERS if server in getattr(item, "fixturenames", ())), None)
