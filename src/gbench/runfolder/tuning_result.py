"""tuning.json: which switches of `speed` were tried, and which of them help.

Rank 0 of a tuning writes it at the end, into a run folder of its own.
"""

import math
from typing import Any

from gbench.runfolder.folder import RunFolder
from gbench.settings.model_config import Frozen, SpeedConfig

NAME = "tuning.json"
LEAST_GAIN = 0.01  # a switch is kept if the whole interval of its ratio exceeds 1 by more than this


class Arm(Frozen):
    """One of the two alternating configurations of a trial."""

    switches: dict[str, Any]
    step_s: float
    setup_s: float
    """Extra time of its first steps compared with as many later ones: compiling, capturing, choosing kernels."""
    memory_bytes: int
    """Peak of the worst rank in its blocks and the steps just before, in which a graph is captured; includes the other
    arm's weights. On a GPU the memory allocated by torch, on a CPU the resident memory."""


class Trial(Frozen):
    """The effect of a change to the switches. A figure that was not measured is None."""

    change: dict[str, Any]
    kept: bool
    why: str
    ratio: float | None = None
    """The base's step time divided by that with the change."""
    low: float | None = None
    high: float | None = None
    """Ends of the ratio's 95 % interval."""
    rounds: int = 0
    steps_per_block: int = 0
    base: Arm | None = None
    changed: Arm | None = None

    @property
    def pays_after_steps(self) -> int | None:
        """Steps after which the gain has repaid the setup time; None if not kept."""
        if not self.kept or self.ratio is None or self.base is None or self.changed is None:
            return None
        more_s = max(0.0, self.changed.setup_s - self.base.setup_s)
        return math.ceil(more_s / (self.base.step_s * (1 - 1 / self.ratio)))


class Tuning(Frozen):
    device: str
    device_count: int
    batch_size_per_device: int
    precision: str
    torch_version: str
    threads: int
    trials: list[Trial]
    """In the order they ran, each on top of the changes kept before."""
    overall: Trial | None
    """All kept changes against the reference, measured again; None if none was kept."""
    speed: SpeedConfig
    wall_s: float


def read_tuning(folder: RunFolder) -> Tuning | None:
    """The tuning in its run folder; None if it did not finish. Raises InfrastructureError: as `RunFolder.read_as`."""
    return folder.read_as(NAME, Tuning, "run `gbench tune` again")
