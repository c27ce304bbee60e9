"""profile.json: where the time of a training step goes.

A profile has its own run folder, with spec.json, host.json, environment.json, steps and log.txt as in any run, and

    trace-rankN.json.gz  trace of the profiled steps by torch.profiler, for chrome://tracing or Perfetto; every rank
    profile.json         summary of rank 0's trace; rank 0, at the end

It makes no record: the profiler itself takes time, so its throughput is not a valid measurement.
"""

from typing import Any

from gbench.runfolder.folder import RunFolder
from gbench.settings.model_config import Frozen

NAME = "profile.json"


def trace_name(rank: int) -> str:
    return f"trace-rank{rank}.json.gz"


class Operator(Frozen):
    name: str
    self_s: float
    """Seconds without the operators that it calls; on a GPU, of its kernels."""
    calls: float
    flop: int | None
    """Floating-point operations; null if the trace lacks the calls that were counted."""


class StepPart(Frozen):
    """Seconds of computing in one part of the step."""

    name: str
    operators_s: float
    gaps_s: float
    """Outside any operator; 0 on a GPU, where gaps belong to the device and not to a part."""


class StepProfile(Frozen):
    """The content of profile.json, for rank 0. Seconds are means per step over the profiled steps."""

    model: str
    batch_size: int
    device: str
    device_count: int
    precision: str
    data_source: str
    on_gpu: bool
    steps: int
    warmup_steps: int
    step_s: float
    """By the clock; the sum of data_s, between_s, operators_s, exposed_s and gaps_s."""
    bare_step_s: float | None
    """Median of the steps before, without the profiler; null if they were too few."""
    data_s: float
    between_s: float
    """Readings and log lines."""
    operators_s: float
    """At least one operator runs."""
    exposed_s: float
    """Communication while no operator runs."""
    gaps_s: float
    """The rest: the GPU idles between kernels, or the training thread is outside any operator."""
    communication_s: float
    """All communication, exposed or not."""
    overlapped_s: float
    """The part of the operators' self times that ran at the same time as another operator."""
    flop: int
    """Operations of a step on one device."""
    parts: list[StepPart]
    operators: list[Operator]
    traces: list[str]
    software: dict[str, Any]
    profile: str = "reference"
    """Name of the speed profile, with the switches that were on, as in result.json."""


def read_profile(folder: RunFolder) -> StepProfile | None:
    """The profile in its run folder; None if it did not finish. Raises InfrastructureError: as `RunFolder.read_as`."""
    return folder.read_as(NAME, StepProfile, "profile again")
