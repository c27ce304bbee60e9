"""The types of telemetry: what the sampler writes and what is made of it.

All times are seconds on CLOCK_MONOTONIC, the clock of `time.perf_counter` on Linux. It is the same in every process of
a host, so samples and steps can be laid side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gbench.runfolder.telemetry_result import Checked, GpuFacts, Missing

CLOCK = "CLOCK_MONOTONIC"
IDLE_STARTS, IDLE_ENDS = "idle_starts", "idle_ends"

# A sample speaks for at most half of this before and after it. The sampler takes at least one a second.
GAP_S = 2.0


class Timed(Protocol):
    """A step as telemetry sees it: it ended at `end_s` on CLOCK_MONOTONIC and took `step_s` seconds."""

    @property
    def end_s(self) -> float: ...

    @property
    def step_s(self) -> float: ...


class Window(NamedTuple):
    """A stretch of CLOCK_MONOTONIC, in seconds."""

    start_s: float
    end_s: float

    @classmethod
    def of(cls, steps: Sequence[Timed]) -> Window:
        """From the start of the first step to the end of the last. Raises ValueError when there is none."""
        return cls(min(step.end_s - step.step_s for step in steps), max(step.end_s for step in steps))

    @property
    def length_s(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


class MissingLog:
    """Collects what can't be read, each thing once, however often it fails."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[Missing] = []

    def add(self, what: str, why: str) -> None:
        """Note that `what` can't be read."""
        if what not in self._known:
            self._known.add(what)
            self._new.append(Missing(what, why))

    def drain(self) -> list[Missing]:
        """What was added since the last call."""
        new, self._new = self._new, []
        return new


@dataclass(frozen=True)
class Mark(Checked):
    """A moment that the run told the sampler."""

    name: str
    t_s: float


@dataclass(frozen=True)
class GpuSample(Checked):
    """One reading of one GPU; None for what could not be read.

    energy_mj: NVML's counter, millijoules since the driver was loaded. throttle_bits: NVML's clocks-event reasons. The
    fields from ecc_corrected on are read once a second only; foreign: `PID NAME` of processes that are not the run's.
    """

    energy_mj: int | None = None
    power_w: float | None = None
    utilisation_percent: int | None = None
    memory_used_bytes: int | None = None
    sm_mhz: int | None = None
    memory_mhz: int | None = None
    temperature_c: int | None = None
    throttle_bits: int | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    foreign: list[str] | None = None


@dataclass(frozen=True)
class HostSample(Checked):
    """One reading of the host; None for what could not be read.

    rss_bytes: sum over the run's processes, so that pages they share count in each. The fields from load_1m on are read
    once a second only. cpu_percent: mean over all CPUs; cpu_busiest_percent: the highest of one; steal_percent: what a
    hypervisor took. cpu_mhz: mean. disk_read_bytes: all disks, since boot. run_cpus: CPUs that the run kept busy.
    """

    rss_bytes: int | None = None
    memory_used_bytes: int | None = None
    load_1m: float | None = None
    cpu_percent: float | None = None
    cpu_busiest_percent: float | None = None
    steal_percent: float | None = None
    cpu_mhz: float | None = None
    disk_read_bytes: int | None = None
    run_cpus: float | None = None


@dataclass(frozen=True)
class Sample(Checked):
    """Everything read at `t_s`, which took `took_s`. own_cpu_s: CPU seconds of the sampler itself so far."""

    t_s: float
    took_s: float
    own_cpu_s: float
    gpus: list[GpuSample] = field(default_factory=list)
    host: HostSample = HostSample()
    rapl_uj: list[int | None] = field(default_factory=list)


@dataclass(frozen=True)
class RaplDomain(Checked):
    """An energy counter of the processor, which starts anew after `range_uj` microjoules."""

    name: str
    range_uj: int


@dataclass(frozen=True)
class Header(Checked):
    """What holds for the whole stream. `gpus` and `rapl` name the entries of each sample's lists of that name."""

    hz: float
    started_utc: str
    clock: str = CLOCK
    pid: int = 0
    run_pids: list[int] = field(default_factory=list)
    cpus: int | None = None
    gpus: list[GpuFacts] = field(default_factory=list)
    rapl: list[RaplDomain] = field(default_factory=list)


@dataclass(frozen=True)
class Telemetry:
    """A whole stream. ended: why the sampler stopped; None when it was killed, or still runs."""

    header: Header | None = None
    samples: list[Sample] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    ended: str | None = None

    @property
    def idle(self) -> Window | None:
        """When the devices were left idle before the run; None where they were not."""
        idle = Window(self.marks.get(IDLE_STARTS, 0.0), self.marks.get(IDLE_ENDS, 0.0))
        return idle if IDLE_STARTS in self.marks and idle.length_s > 0 else None
