"""Runs that several tests only read, made once per session, also with several processes of pytest-xdist."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from support import Answer

from gbench.runfolder.folder import RunFolder
from invoke import in_this_process

# For machines with one core. The ranks choose their own number of threads.
TWO_RANKS = ("pix2pix_resnet_9blocks", 4, 2, "FP32", "false", "ignore_check")
REPEATABLE = ("--steps", 3, "--warmup", 1, "--deterministic")
OWN_THREADS = {"OMP_NUM_THREADS": ""}
LAUNCHED = ("pix2pix_resnet_9blocks", 4, 1, "FP32", "--steps", 5, "--warmup", 2)
# A convergence run of two epochs of 4 steps, the learning rate falling in the second.
CONVERGENCE = ("pix2pix_resnet_6blocks", 4, 1, "FP32")
SCHEDULE = {"epochs": 1, "epochs_decay": 1, "checkpoint_every": 1}
SCHEDULE_FLAGS = [part for key, value in SCHEDULE.items() for part in ("--set", f"schedule.{key}={value}")]


def the_run(base: Path) -> RunFolder:
    """The only run folder of a gbench that was called in the folder `base`."""
    (path,) = (base / "results").iterdir()
    return RunFolder(path)


@dataclass(frozen=True)
class SharedRun:
    """A finished run.

    Attributes:
        base: the folder in which gbench was called.
        answer: its output.
    """

    base: Path
    answer: Answer

    @property
    def folder(self) -> RunFolder:
        return the_run(self.base)

    @property
    def record(self) -> Path:
        (path,) = (self.base / "cndb" / "records").iterdir()
        return path


def run_once(temporary: pytest.TempPathFactory, name: str, *arguments: object, **variables: str) -> SharedRun:
    """Run `gbench ARGUMENTS` in a folder of this name, once per session. Tests must not change the folder."""
    root = temporary.getbasetemp()
    base = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / name
    kept = base / "answer.json"
    with FileLock(f"{base}.lock"):
        if not kept.exists():
            base.mkdir()
            kept.write_text(json.dumps(asdict(in_this_process(arguments, base, variables))))
    answer = Answer(**json.loads(kept.read_text()))
    assert answer.code == 0, answer.err
    return SharedRun(base, answer)


def converged_once(temporary: pytest.TempPathFactory, small_launch: Sequence[str]) -> SharedRun:
    """The convergence run of two epochs, made once per session. Tests must not change its folder."""
    return run_once(temporary, "converged", "converge", *CONVERGENCE, *small_launch, *SCHEDULE_FLAGS)


def launched_once(temporary: pytest.TempPathFactory, small_launch: Sequence[str]) -> SharedRun:
    """A launch of 5 steps, 4 of them in its first epoch, made once per session. Tests must not change its folder."""
    return run_once(temporary, "launched", "launch", *LAUNCHED, *small_launch)


def two_ranks_once(temporary: pytest.TempPathFactory, small_launch: Sequence[str]) -> SharedRun:
    """A deterministic launch with two ranks, made once per session. Tests must not change its folder."""
    return run_once(temporary, "two-ranks", "launch", *TWO_RANKS, *small_launch, *REPEATABLE, "--json", **OWN_THREADS)
