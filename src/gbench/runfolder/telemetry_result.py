"""The part of result.json from telemetry: energy, disturbance, devices and host over the measured steps."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

EnergySource = Literal["nvml counter", "power integration", "rapl"]


class Checked:
    """Base of the types in the telemetry stream. The constructor checks nothing; pydantic checks values when read."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True)
class Missing(Checked):
    """A value that could not be read."""

    what: str
    why: str
    t_s: float | None = None
    """Since when; None: from the start."""


@dataclass(frozen=True)
class GpuFacts(Checked):
    """Constant facts about a GPU; None if unreadable."""

    asked: str
    """The UUID or index that the run gave."""
    index: int | None = None
    uuid: str | None = None
    name: str | None = None
    sm_max_mhz: int | None = None
    memory_max_mhz: int | None = None
    memory_bytes: int | None = None
    power_limit_w: float | None = None
    pcie_max_generation: int | None = None
    pcie_max_width: int | None = None


@dataclass(frozen=True)
class MeanAndRange:
    """Mean and extremes over the samples of the window."""

    mean: float
    min: float
    max: float


@dataclass(frozen=True)
class GpuSummary:
    """One GPU over the window; None for a value that was never read. Of its PCIe link the lowest values count."""

    facts: GpuFacts
    utilisation_percent: MeanAndRange | None
    sm_mhz: MeanAndRange | None
    memory_mhz: MeanAndRange | None
    power_w: MeanAndRange | None
    temperature_c: MeanAndRange | None
    memory_peak_bytes: int | None
    throttle: dict[str, float] | None
    """Share of samples with each of NVML's reasons, harmless ones included."""
    ecc_corrected: int | None
    """Errors during the window."""
    ecc_uncorrected: int | None
    pcie_generation: int | None
    pcie_width: int | None
    foreign: list[str] | None
    """`PID NAME` of other processes on the device at any time in the window."""


@dataclass(frozen=True)
class HostSummary:
    """The host over the window; None for a value that was never read."""

    load_1m: MeanAndRange | None
    cpu_percent: MeanAndRange | None
    cpu_busiest_percent: MeanAndRange | None
    steal_percent: MeanAndRange | None
    cpu_mhz: MeanAndRange | None
    run_cpus: float | None
    """CPUs that the run's processes kept busy."""
    other_cpus: float | None
    """CPUs that all other processes kept busy."""
    memory_peak_bytes: int | None
    rss_peak_bytes: int | None
    """Peak over the whole stream of the sum over the run's processes."""
    disk_read_bytes: float | None
    """From local disks, by any process."""


@dataclass(frozen=True)
class SamplerSummary:
    """The sampler itself over the whole stream."""

    samples: int
    asked_hz: float
    reached_hz: float | None
    longest_gap_s: float | None
    cpu_share: float | None


@dataclass(frozen=True)
class TelemetrySummary:
    gpus: list[GpuSummary]
    host: HostSummary | None
    sampler: SamplerSummary | None
    missing: list[Missing]
    """What could not be read, and why; times are on the stream's clock."""


@dataclass(frozen=True)
class DeviceEnergy:
    """Energy of one device over the window; None if not measured."""

    device: str
    joules: float | None
    source: EnergySource | None
    idle_power_w: float | None
    """Measured before the run."""


@dataclass(frozen=True)
class Energy:
    """Energy over the window: of the run's GPUs, or on a CPU of the processors (RAPL)."""

    joules: float | None
    """None if that of any device is unknown."""
    source: EnergySource | None
    """The least accurate of the devices' sources."""
    idle_power_w: float | None
    devices: list[DeviceEnergy]
    host: DeviceEnergy | None
    """The processors of a machine with GPUs; None if RAPL can't be read."""

    def joules_per_image(self, images: int) -> float | None:
        """Joules per image of the same window, idle power included."""
        return self.joules / images if self.joules is not None and images else None


@dataclass(frozen=True)
class Disturbance:
    """Shares of all steps: marked, not observed, and marked by each reason."""

    steps: int
    marked_steps: str
    """Their numbers in the step stream: `41-57, 60`."""
    marked_share: float | None
    """A lower bound if some steps were not observed; None if none was observed."""
    unobserved_share: float
    share_by_reason: dict[str, float]
