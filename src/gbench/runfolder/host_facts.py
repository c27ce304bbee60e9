"""host.json: what the host knows about a run and the worker can't see.

The host writes it before the start, and adds the end, warnings and the record's path later. Every key may be missing:
an earlier gbench did not write all of them, and a killed run has no end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat

from gbench.runfolder.typed_json import Facts

if TYPE_CHECKING:
    from gbench.runfolder.step_columns import AttemptSteps


class RunnerFacts(Facts):
    """Where the run script ran. Further keys describe the image: digests, base, version of the Docker engine."""

    runner: str | None = None
    image: str | None = None
    image_id: str | None = None


class Processor(Facts):
    name: str | None = None
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None
    numa_nodes: int | None = None


class GpuIdentity(Facts):
    uuid: str
    vbios: str | None = None


class MachineIdentity(Facts):
    """Which machine it is, among those with the same hardware."""

    host_name: str | None = None
    key: str | None = None
    """As gbench.machine.machine_key computes it."""
    gpus: list[GpuIdentity] = Field(default_factory=list)
    """Those that the run may use, in its order."""


class HostHardware(Facts):
    """The machine, as the host sees it."""

    os: str | None = None
    cpu: Processor | None = None
    mem: str | None = None
    gpus: list[str] = Field(default_factory=list)
    """Names of the GPUs that the run may use."""
    driver: str | None = None
    machine: MachineIdentity | None = None
    """None in runs of an earlier gbench."""


class DatasetFacts(Facts):
    root: str | None = None
    sha256: str | None = None
    hashing: str | None = None
    """Whether the hashes of its files were computed for this run: "computed", "partly cached" or "cached"."""
    source: str | None = None
    """Its origin, from its manifest."""


class GitFacts(Facts):
    commit: str | None = None
    dirty: bool = False
    """Whether tracked files differed from the commit."""


class CheckFacts(Facts):
    id: str
    severity: str
    found: str
    why: str = ""
    """How it affects a measurement."""
    fix: str = Field(default="", alias="mend")
    """What to do; empty if nothing."""
    commands: list[Any] = Field(default_factory=list)
    ignored: bool = False
    """Whether it was an error that the user chose to ignore."""


class AttemptTimes(Facts):
    """Start and duration of one attempt at a run: the first start, or a resumption."""

    started_utc: str | None = None
    started_s: float
    """On the host's monotonic clock."""
    wall_s: float | None = None
    """None until it ends; stays None if gbench was killed."""


class BetweenRuns(Facts):
    """Interval of the mean throughput over runs of the configuration: from this run, and how much earlier ones differ.

    In the unit of the throughput.
    """

    low: float
    high: float
    half_width_share: float
    """Half-width divided by the throughput."""
    runs: int
    """Number of earlier runs."""
    level: float

    @property
    def text(self) -> str:
        return between_text(self.half_width_share, self.runs)


def between_text(share: float, runs: int) -> str:
    """`+-3.10% as 12 earlier runs of this configuration differ`."""
    return f"+-{share:.2%} as {runs} earlier runs of this configuration differ"


class BestPeak(Facts):
    """The best that a GPU of this name was measured to do in the precision of the run, before it."""

    tflop_s: PositiveFloat
    """10^12 operations per second."""
    copy_gb_s: PositiveFloat | None = None
    """10^9 bytes per second, read and written by a copy; None: unknown, as in records of autocast."""
    source: str
    """The run, or the record, in which it was measured."""


class OneDevice(Facts):
    """Throughput of one device in earlier runs of the configuration, at the same batch a device, on this machine."""

    throughput: float
    """The median, in the unit of the run's."""
    runs: int
    efficiency: float
    """The run's throughput a device as a share of it."""

    @property
    def text(self) -> str:
        runs = f"{self.runs} runs" if self.runs > 1 else "a run"
        return f"{self.efficiency:.1%} of one device, by {runs} with the same batch a device on this machine"


class NodeInRun(Facts):
    """A host among those of a run on several."""

    number: int
    address: str
    """Of this host, as the others reach it."""
    interface: str | None = None
    """Its network interface; None: unknown."""
    torch: str | None = None
    """PyTorch of this Python environment; None: the run is in a container of an image."""
    gbench: str | None = None
    clocks: list[str] = Field(default_factory=list)
    """Highest clocks and power limit of each GPU that the run may use; of the processor without any."""


class HostFacts(Facts):
    started_utc: str | None = None
    command_line: str = ""
    working_dir: str | None = None
    where: RunnerFacts = RunnerFacts()
    hardware: HostHardware = HostHardware()
    node: NodeInRun | None = None
    """None: the run is on one node."""
    dataset: DatasetFacts = DatasetFacts()
    run_script_sha256: str | None = None
    git: GitFacts | None = None
    """None if gbench is installed, not run from a checkout."""
    warnings: list[str] = Field(default_factory=list)
    checks: list[CheckFacts] = Field(default_factory=list)
    attempts: list[AttemptTimes] = Field(default_factory=list)
    resumed: list[str] | None = None
    """When the run was resumed, in UTC; None if it was not."""
    ended_utc: str | None = None
    """None while it runs, or if gbench was killed."""
    exit_code: int | None = None
    """Of the run script; None if it was stopped before its end."""
    failure: str | None = None
    between_runs: BetweenRuns | None = None
    """None: too few earlier runs, or a run of an earlier gbench."""
    best_peak: BestPeak | None = None
    """None: on a CPU, the first run on such a GPU, or a run of an earlier gbench."""
    one_device: OneDevice | None = None
    """None: no such run is known, or the run is on one device."""
    record: str | None = None


def closed(attempts: list[AttemptTimes], ranks: Sequence[Sequence[AttemptSteps]]) -> list[AttemptTimes]:
    """Attempts of host.json, the last one ended: if gbench was killed, at the end of its last recorded step.

    ranks: the steps of each rank, by attempt.
    """
    if not attempts or attempts[-1].wall_s is not None:
        return attempts
    started_s = attempts[-1].started_s
    ends_s = [rank[-1].steps[-1].end_s for rank in ranks if rank and rank[-1].steps]
    wall_s = max([end_s - started_s for end_s in ends_s if end_s > started_s], default=0.0)
    return [*attempts[:-1], attempts[-1].changed(wall_s=wall_s)]
