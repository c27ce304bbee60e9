"""profile.json: where the time of a training step goes. Next to folder.py, and read by the same rules.

A profile has a run folder of its own: spec.json, host.json, environment.json, steps, log.txt as any run, and

    trace-rankN.json.gz  the profiled steps as torch.profiler saw them, for chrome://tracing or Perfetto; every rank
    profile.json         what is read from rank 0's; rank 0, at the end

No record is made of it: the profiler takes time itself, so its throughput is no measurement.
"""

from __future__ import annotations

from typing import Any

from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import Frozen

NAME = "profile.json"


def trace_name(rank: int) -> str:
    """What a rank's trace is called in the run folder."""
    return f"trace-rank{rank}.json.gz"


class Operator(Frozen):
    """One operator's share of a step. self_s: seconds without the operators that it calls; on a GPU, of its kernels.

    flop: floating-point operations, null where the trace does not hold the calls that were counted.
    """

    name: str
    self_s: float
    calls: float
    flop: int | None


class StepPart(Frozen):
    """Seconds of computing in one part of the step. gaps_s: outside any operator there; 0 on a GPU, where gaps are the
    device's and belong to no part."""

    name: str
    operators_s: float
    gaps_s: float


class StepProfile(Frozen):
    """One profile, of rank 0. Seconds are means a step of the profiled steps.

    step_s: the clock's. data_s, between_s, operators_s, exposed_s and gaps_s are its parts: data wait; readings and log
    lines; one operator or more at work; waiting for communication that nothing hides; none of these (the GPU idles
    between kernels, or the training thread is outside any operator). bare_step_s: median of the steps before, without
    the profiler; null where they were too few. communication_s: all communication, hidden or not. overlapped_s: what of
    the operators' self times ran beside others. flop: operations of a step on one device. profile: by whose word which
    switches of `speed` were on, as in result.json.
    """

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
    bare_step_s: float | None
    data_s: float
    between_s: float
    operators_s: float
    exposed_s: float
    gaps_s: float
    communication_s: float
    overlapped_s: float
    flop: int
    parts: list[StepPart]
    operators: list[Operator]
    traces: list[str]
    software: dict[str, Any]
    profile: str = "reference"

    @property
    def optimizer_s(self) -> float:
        """Seconds of a step in both optimisers."""
        return sum(part.operators_s + part.gaps_s for part in self.parts if part.name == "optimizer")


def read_profile(folder: RunFolder) -> StepProfile | None:
    """The profile in its run folder; None when it did not come to its end.

    Raises:
        InfrastructureError: it is there but broken, or of another version.
    """
    return folder.read_as(NAME, StepProfile, "profile again")
