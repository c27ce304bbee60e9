"""environment.json: what the worker saw of its machine, and how the training ended.

Rank 0 writes it after the first steps, and again at the end with `ended`, `learning_rates` and `precision_at_end`.
Every key may be missing: an earlier gbench did not write all of them, and a failed run has no `ended`.
"""

from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

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
    """None on a CPU."""


class WorkFacts(Facts):
    """What the training step needs for one image, forward and backward."""

    flop: Count
    bytes: Count | None = None
    """None under autocast: bytes are not counted there."""


class DataFacts(Facts):
    """Where batches came from. Further keys describe the cache."""

    source: str
    asked: str | None = None
    """The source that the spec requests."""
    because: str | None = None
    """Why it is another one."""


class PeakFacts(Facts):
    """The device's peak speed, measured before or after the training."""

    gemm_tflop_s: PositiveFloat
    """10^12 operations per second in a matrix product."""
    conv_tflop_s: PositiveFloat
    """10^12 operations per second in the model's main convolution."""
    copy_gb_s: PositiveFloat
    """10^9 bytes per second, read and written by a copy."""
    gemm_tflop_cpu_s: PositiveFloat | None = None
    """10^12 operations per second of processor time; None on a GPU, likewise the following."""
    conv_tflop_cpu_s: PositiveFloat | None = None
    copy_gb_cpu_s: PositiveFloat | None = None

    @property
    def tflop_s(self) -> float:
        """The higher of the two."""
        return max(self.gemm_tflop_s, self.conv_tflop_s)

    @property
    def tflop_cpu_s(self) -> float | None:
        """The higher of the two per second of processor time."""
        return max((one for one in (self.gemm_tflop_cpu_s, self.conv_tflop_cpu_s) if one is not None), default=None)


class AllReduceFacts(Facts):
    """One size of an all-reduce, measured by all ranks. Bandwidths are as nccl-tests define them."""

    bytes: PositiveInt
    repetitions: PositiveInt
    median_s: PositiveFloat
    fastest_s: PositiveFloat
    slowest_s: PositiveFloat
    algorithm_gb_s: PositiveFloat
    """10^9 bytes per second: the size over the median."""
    bus_gb_s: Annotated[float, Field(ge=0)]
    """That times 2 (n - 1) / n, for n ranks."""


class NetworkFacts(Facts):
    """All-reduce between all ranks, before the first step."""

    backend: str
    buckets: dict[str, list[PositiveInt]]
    """Bytes of each bucket of DistributedDataParallel, by network, in the order of their exchange."""
    all_reduce: list[AllReduceFacts]
    """Of every size of a bucket, and first of one number, whose time is the latency."""

    def times_s(self) -> dict[str, list[float]]:
        """The median time of each bucket."""
        known = {one.bytes: one.median_s for one in self.all_reduce}
        return {name: [known[size] for size in sizes] for name, sizes in self.buckets.items()}


class ExchangedStep(Facts):
    """The exchange in one step on one rank, in seconds by network, as torch timed it."""

    step: PositiveInt
    hidden_s: dict[str, float]
    """From the first bucket's start to the end of the backward pass."""
    exposed_s: dict[str, float]
    """From then until the gradients of all ranks were there."""


class PrecisionFacts(Facts):
    """The precision as torch reported it. Further keys are torch's switches."""

    ran: str
    """FP32, TF32, AMP or BF16."""


class EndFacts(Facts):
    steps: int
    because: str | None = None


class EnvironmentFacts(Facts):
    planned_steps: int | None = None
    """None if the width of the throughput's interval ends the run."""
    steps_per_epoch: PositiveInt | None = None
    device: str | None = None
    profile: str | None = None
    speed: dict[str, Any] = Field(default_factory=dict)
    ddp: bool | None = None
    """Whether the networks were in DistributedDataParallel; None: an earlier gbench did not say."""
    bucket_views: bool = False
    """Whether gradients were views of DistributedDataParallel's buckets; an earlier gbench has it in `speed` alone."""
    malloc: dict[str, int] | None = None
    """What gbench set of the C library's malloc, in bytes; None: nothing."""
    cudnn_benchmark: bool | None = None
    software: dict[str, Any] = Field(default_factory=dict)
    hardware: WorkerHardware = WorkerHardware()
    rank: list[Any] | None = None
    nodes: list[dict[str, Any]] | None = None
    """torch's version, device and hardware of each node; None: there is one."""
    work_per_image: WorkFacts | None = None
    data: DataFacts | None = None
    peak: PeakFacts | None = None
    """Before the first step."""
    peak_after: PeakFacts | None = None
    """After the last step. None: on a CPU, in a run of an earlier gbench, or without memory for it."""
    network: NetworkFacts | None = None
    """None: one rank, or an earlier gbench."""
    exchange: list[list[ExchangedStep]] | None = None
    """Some steps of each rank: the last one before each reading. None as for `network`."""
    precision: PrecisionFacts | None = None
    """After the first step."""
    memory: list[dict[str, int]] | None = None
    """Peaks of each rank in bytes: `host_rss_bytes`, and on a GPU `allocated_bytes` and `reserved_bytes`."""
    ended: EndFacts | None = None
    """None if the training did not finish."""
    learning_rates: list[tuple[float, float]] | None = None
    """Of generator and discriminator in each epoch, read back from their optimisers."""
    precision_at_end: PrecisionFacts | None = None

    @model_validator(mode="before")
    @classmethod
    def _ended_as_before(cls, values: Any) -> Any:
        """The first versions ended by their steps alone, and wrote `precision_at_end` last."""
        if not isinstance(values, dict) or "ended" in values or values.get("precision_at_end") is None:
            return values
        steps = values.get("planned_steps")
        return values if steps is None else {**values, "ended": {"steps": steps}}
