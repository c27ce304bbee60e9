"""environment.json: what the worker saw of its machine, and how the training ended.

Rank 0 writes it after the first steps, and again at the end with `ended`, `learning_rates` and `precision_at_end`.
Every key may be missing: an earlier gbench did not write all of them, and a run that failed has no end.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt

from gbench.runfolder.host_facts import Processor
from gbench.runfolder.typed_json import Facts

Count = Annotated[int, Field(ge=0, lt=2**63)]


class WorkerHardware(Facts):
    """The machine, as the worker's process sees it."""

    machine: str | None = None
    kernel: str | None = None
    cpu: Processor | None = None
    memory_bytes: Count | None = None
    torch_threads: int | None = None
    gpus: list[dict[str, Any]] | None = None
    """None on a processor."""


class WorkFacts(Facts):
    """What the training step needs for one image, forward and backward."""

    flop: Count
    bytes: Count | None = None
    """None under autocast, where bytes are not counted."""


class DataFacts(Facts):
    """Where batches came from. Further keys are of the cache."""

    source: str
    asked: str | None = None
    """The source that the spec asks for."""
    because: str | None = None
    """Why the source is not the one asked for."""


class PeakFacts(Facts):
    """What the device was measured to do before the training."""

    gemm_tflop_s: PositiveFloat
    """By a matrix product."""
    conv_tflop_s: PositiveFloat
    """By the model's main convolution."""
    copy_gb_s: PositiveFloat

    @property
    def tflop_s(self) -> float:
        """The more of the two."""
        return max(self.gemm_tflop_s, self.conv_tflop_s)


class PrecisionFacts(Facts):
    """The precision as torch reported it. Further keys are torch's switches."""

    ran: str
    """FP32, TF32, AMP or BF16."""


class EndFacts(Facts):
    """How the training came to its end."""

    steps: int
    because: str | None = None


class EnvironmentFacts(Facts):
    """The content of environment.json."""

    planned_steps: int | None = None
    """None where the width of the throughput's interval ends the run."""
    steps_per_epoch: PositiveInt | None = None
    device: str | None = None
    profile: str | None = None
    speed: dict[str, Any] = Field(default_factory=dict)
    """The switches that were on."""
    cudnn_benchmark: bool | None = None
    software: dict[str, Any] = Field(default_factory=dict)
    """Versions by name."""
    hardware: WorkerHardware = WorkerHardware()
    rank: list[Any] | None = None
    """For each rank, the CPUs that it ran on."""
    work_per_image: WorkFacts | None = None
    """None where the work was not counted."""
    data: DataFacts | None = None
    peak: PeakFacts | None = None
    """None where the peak was not measured."""
    precision: PrecisionFacts | None = None
    """After the first step."""
    memory: list[dict[str, int]] | None = None
    """Peaks of each rank in bytes: `host_rss_bytes`, and on a GPU `allocated_bytes` and `reserved_bytes`."""
    ended: EndFacts | None = None
    """None where the training did not come to its end."""
    learning_rates: list[tuple[float, float]] | None = None
    """Of generator and discriminator in each epoch, read back from their optimisers."""
    precision_at_end: PrecisionFacts | None = None
    """After the last step."""
