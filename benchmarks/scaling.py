"""What two processes cost against one on the same cores: launches of one total batch, in turn.

    python benchmarks/scaling.py [--rounds 10] [--steps 60] [--batch 4] [--side 64] [--filters 16]

Three kinds of launch, each round in another order: one process with a thread on every core; a process a core, each bound
to its own; the same, left to the scheduler (measure.pin=false). Prints the median over rounds of the throughput of each
against that of one process, with a 95 % interval. Processors only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from medians import Median

from gbench.datasets.synth import synth
from gbench.launch import launch
from gbench.runfolder import RunFolder
from gbench.settings.resolve import Request, resolve
from gbench.settings.spec import RunSpec

CORES = len(os.sched_getaffinity(0))
KINDS = {"one process": (1, True), "bound": (CORES, True), "not bound": (CORES, False)}


class Silent:
    """A watcher who shows nothing."""

    def line(self, text: str) -> None: ...

    def running(self, folder: RunFolder) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory()
