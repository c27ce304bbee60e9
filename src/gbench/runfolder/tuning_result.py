"""tuning.json: which switches of `speed` were tried, and which pay. Next to folder.py, and read by the same rules.

A tuning has a run folder of its own: spec.json, host.json, log.txt as any run, and tuning.json; rank 0, at the end.
"""

from __future__ import annotations

import math
from typing import Any

from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import Frozen, SpeedConfig

NAME = "tuning.json"
LEAST_GAIN = 0.01  # a switch is kept whose interval lies wholly above 1 by more than this share


class Arm(Frozen):
    """One of two that took turns.

    memory_bytes: at the peak in its blocks and in the steps just before, in which a graph is captured, the other's
    weights included, of the worst rank: on a GPU what torch had allocated, on a processor what was resident.
    """

    switches: dict[str, Any]
    step_s: float
    setup_s: float  # its first steps beyond what as many take later: compiling, capturing, choosing kernels
    memory_bytes: int


class Trial(Frozen):
    """What a change to the switches did. ratio, low, high: base's step time over that with the change, 95 % interval;
    None where it was not measured. why: the verdict in words."""

    change: dict[str, Any]
    kept: bool
    why: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    steps_per_block: int = 0
    base: Arm | None = None
    changed: Arm | None = None

    @property
    def pays_after_steps(self) -> int | None:
        """After how many steps what it took to set up has come back; None where it is not kept."""
        if not self.kept or self.ratio is None or self.base is None or self.changed is None:
            return None
        more_s = max(0.0, self.changed.setup_s - self.base.setup_s)
        return math.ceil(more_s / (self.base.step_s * (1 - 1 / self.ratio)))


class Tuning(Frozen):
    """One tuning. trials: in the order in which they ran, each on top of what was kept. overall: all that was kept
    against the reference, measured anew; None where nothing was. speed: what profile optimized is to take."""

    device: str
    device_count: int
    batch_size_per_device: int
    precision: str
    torch_version: str
    threads: int
    trials: list[Trial]
    overall: Trial | None
    speed: SpeedConfig
    wall_s: float


def read_tuning(folder: RunFolder) -> Tuning | None:
    """The tuning in its run folder; None when it did not come to its end.

    Raises:
        InfrastructureError: it is there but broken, or of another version.
    """
    return folder.read_as(NAME, Tuning, "run `gbench tune` again")
