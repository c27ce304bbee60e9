"""The types of the telemetry stream. Times are seconds on CLOCK_MONOTONIC, as those of steps (`time.perf_counter`)."""

from dataclasses import dataclass, field

from gbench.runfolder.telemetry_result import Checked, GpuFacts, Missing

CLOCK = "CLOCK_MONOTONIC"
IDLE_STARTS, IDLE_ENDS = "idle_starts", "idle_ends"

# A sample represents at most half of this time before and after it. The sampler takes at least one per second.
GAP_S = 2.0


class MissingLog:
    """Collects what can't be read, each item only once."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[Missing] = []

    def add(self, what: str, why: str) -> None:
        if what not in self._known:
            self._known.add(what)
            self._new.append(Missing(what, why))

    def drain(self) -> list[Missing]:
        """The items added since the last call."""
        new, self._new = self._new, []
        return new


@dataclass(frozen=True)
class Mark(Checked):
    name: str
    t_s: float


@dataclass(frozen=True)
class GpuSample(Checked):
    """One reading of one GPU; None if unreadable. The fields from ecc_corrected on are read once a second only."""

    energy_mj: int | None = None
    """NVML's counter: millijoules since the driver was loaded."""
    power_w: float | None = None
    utilisation_percent: int | None = None
    memory_used_bytes: int | None = None
    sm_mhz: int | None = None
    memory_mhz: int | None = None
    temperature_c: int | None = None
    throttle_bits: int | None = None
    """NVML's clocks-event reasons."""
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    foreign: list[str] | None = None
    """`PID NAME` of processes that don't belong to the run."""


@dataclass(frozen=True)
class HostSample(Checked):
    """One reading of the host; None if unreadable. The fields from load_1m on are read once a second only."""

    rss_bytes: int | None = None
    """Sum over the run's processes; shared pages count in each of them."""
    memory_used_bytes: int | None = None
    load_1m: float | None = None
    cpu_percent: float | None = None
    """Mean over all CPUs."""
    cpu_busiest_percent: float | None = None
    steal_percent: float | None = None
    """Time taken by a hypervisor."""
    cpu_mhz: float | None = None
    """Mean over all CPUs."""
    disk_read_bytes: int | None = None
    """From all disks, since boot."""
    run_cpus: float | None = None


@dataclass(frozen=True)
class Sample(Checked):
    t_s: float
    took_s: float
    """Seconds that the readings took."""
    own_cpu_s: float
    """CPU seconds of the sampler itself so far."""
    gpus: list[GpuSample] = field(default_factory=list)
    host: HostSample = HostSample()
    rapl_uj: list[int | None] = field(default_factory=list)


@dataclass(frozen=True)
class RaplDomain(Checked):
    """An energy counter of the processor, which overflows after `range_uj` microjoules."""

    name: str
    range_uj: int


@dataclass(frozen=True)
class Header(Checked):
    """Facts about the whole stream. `gpus` and `rapl` describe the items of the same lists in each sample."""

    hz: float
    started_utc: str
    clock: str = CLOCK
    pid: int = 0
    run_pids: list[int] = field(default_factory=list)
    cpus: int | None = None
    gpus: list[GpuFacts] = field(default_factory=list)
    rapl: list[RaplDomain] = field(default_factory=list)
