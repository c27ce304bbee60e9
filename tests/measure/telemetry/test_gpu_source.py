"""From NVML to figures, with a fake of the library and a fake clock."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pynvml
import pytest

from gbench.measure.telemetry.disturbance import disturbance, mark_disturbed
from gbench.measure.telemetry.energy import energy
from gbench.measure.telemetry.energy_counters import RaplReader
from gbench.measure.telemetry.gpu_source import GpuReader
from gbench.measure.telemetry.host_source import HostReader
from gbench.measure.telemetry.loop import Sampler, run
from gbench.measure.telemetry.reader import read_stream
from gbench.measure.telemetry.sample_columns import Floats, Telemetry, Window
from gbench.measure.telemetry.samples import MissingLog
from gbench.measure.telemetry.stream import NAME, StreamWriter
from gbench.measure.telemetry.usage import summarize

HW_THERMAL = pynvml.nvmlClocksEventReasonHwThermalSlowdown | pynvml.nvmlClocksEventReasonHwSlowdown
BATCH = 32


@dataclass
class Clock:
    t_s: float = 0.0

    def __call__(self) -> float:
        return self.t_s


@dataclass
class FakeGpu:
    """A GPU of constant 200 W whose counter starts at `first_mj`; `at` maps a time to what its clocks do."""

    clock: Clock
    uuid: str = "GPU-aaaa"
    first_mj: int = 1_000_000
    throttled: Callable[[float], bool] = lambda t_s: False
    reset_s: float = float("inf")
    ecc: Callable[[float], int] = lambda t_s: 0
    pids: tuple[int, ...] = ()
    fails: Callable[[str, float], int | None] = lambda call, t_s: None

    def energy_mj(self) -> int:
        if self.clock.t_s >= self.reset_s:
            return round((self.clock.t_s - self.reset_s) * 200_000)
        return (self.first_mj + round(self.clock.t_s * 200_000)) % 2**64


class FakeNvml:
    """The functions of pynvml that the reader calls, with the real constants and errors."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM = pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM
    NVML_TEMPERATURE_GPU, NVML_VOLATILE_ECC = pynvml.NVML_TEMPERATURE_GPU, pynvml.NVML_VOLATILE_ECC
    NVML_MEMORY_ERROR_TYPE_CORRECTED = pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED

    def __init__(self, gpus: list[FakeGpu], init_error: int | None = None) -> None:
        self.gpus, self.init_error = gpus, init_error

    def asked(self, gpu: FakeGpu) -> FakeGpu:
        code = gpu.fails(sys._getframe(1).f_code.co_name, gpu.clock.t_s)
        if code is not None:
            raise pynvml.NVMLError(code)
        return gpu

    def nvmlInit(self) -> None:
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)

    def nvmlShutdown(self) -> None:
        self.gpus = []

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        for gpu in self.gpus:
            if gpu.uuid == uuid:
                return gpu
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetIndex(self, handle: FakeGpu) -> int:
        return self.gpus.index(self.asked(handle))

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:
        return self.asked(handle).uuid

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str:
        self.asked(handle)
        return "NVIDIA A100-SXM4-40GB"

    def nvmlDeviceGetMaxClockInfo(self, handle: FakeGpu, type: int) -> int:
        self.asked(handle)
        return {self.NVML_CLOCK_SM: 1410, self.NVML_CLOCK_MEM: 1215}[type]

    def nvmlDeviceGetClockInfo(self, handle: FakeGpu, type: int) -> int:
        sm_mhz = 705 if self.asked(handle).throttled(handle.clock.t_s) else 1410
        return {self.NVML_CLOCK_SM: sm_mhz, self.NVML_CLOCK_MEM: 1215}[type]

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu, version: object = None) -> SimpleNamespace:
        self.asked(handle)
        return SimpleNamespace(used=3 * 1024**3, total=40 * 1024**3)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: FakeGpu) -> int:
        self.asked(handle)
        return 400_000

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle: FakeGpu) -> int:
        self.asked(handle)
        return 4

    def nvmlDeviceGetMaxPcieLinkWidth(self, handle: FakeGpu) -> int:
        self.asked(handle)
        return 16

    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle: FakeGpu) -> int:
        self.asked(handle)
        return 4

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: FakeGpu) -> int:
        self.asked(handle)
        return 8

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: FakeGpu) -> int:
        return self.asked(handle).energy_mj()

    def nvmlDeviceGetPowerUsage(self, handle: FakeGpu) -> int:
        self.asked(handle)
        return 200_000

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: FakeGpu) -> int:
        return HW_THERMAL if self.asked(handle).throttled(handle.clock.t_s) else 0

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: FakeGpu) -> int:
        self.asked(handle)
        return pynvml.nvmlClocksEventReasonSwPowerCap

    def nvmlDeviceGetUtilizationRates(self, handle: FakeGpu) -> SimpleNamespace:
        self.asked(handle)
        return SimpleNamespace(gpu=98, memory=40)

    def nvmlDeviceGetTemperature(self, handle: FakeGpu, sensor: int) -> int:
        return 90 if self.asked(handle).throttled(handle.clock.t_s) else 61

    def nvmlDeviceGetTotalEccErrors(self, handle: FakeGpu, errorType: int, counterType: int) -> int:
        return self.asked(handle).ecc(handle.clock.t_s) if errorType == self.NVML_MEMORY_ERROR_TYPE_CORRECTED else 0

    def nvmlDeviceGetComputeRunningProcesses(self, handle: FakeGpu) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in self.asked(handle).pids]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: FakeGpu) -> list[SimpleNamespace]:
        self.asked(handle)
        return []


@dataclass(frozen=True)
class FakeSteps:
    end_s: Floats
    step_s: Floats


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class FakeControl:
    """Advances the clock, and stops the sampler at the end."""

    clock: Clock
    until_s: float
    stop: str | None = None

    def wait(self, seconds: float) -> None:
        self.clock.t_s += seconds
        if self.clock.t_s >= self.until_s:
            self.stop = "it is time"


@pytest.fixture
def record(tmp_path: Path, clock: Clock) -> Callable[..., Telemetry]:
    """Ten seconds at 10 Hz from 0.03 s on, through the sampler's own loop, written to a stream and read again.

    gaps: what can't be read of the GPUs; all else can.
    """

    def record(nvml: object, wanted: list[str], until_s: float = 10.0, gaps: Collection[str] = ()) -> Telemetry:
        clock.t_s = 0.03
        missing = MissingLog()
        host = HostReader([], missing, host_pids=True, now=clock)
        sampler = Sampler(GpuReader(nvml, wanted, missing), host, RaplReader(tmp_path, missing), missing, clock)
        (tmp_path / NAME).unlink(missing_ok=True)
        run(sampler, StreamWriter(tmp_path / NAME), FakeControl(clock, until_s), sampler.header(10.0, []))
        telemetry = read_stream(tmp_path / NAME)
        assert {one.what for one in telemetry.missing if one.what.startswith(("gpu", "nvml"))} == set(gaps)
        return telemetry

    return record


def test_the_fake_has_only_what_the_real_library_has() -> None:
    for name, function in vars(FakeNvml).items():
        if name.startswith("nvml"):
            theirs = list(inspect.signature(getattr(pynvml, name)).parameters.values())
            ours = list(inspect.signature(function).parameters.values())[1:]
            assert len(ours) == len(theirs), name


def test_a_throttled_run_has_its_share_and_clean_throughput(clock: Clock, record: Callable[..., Telemetry]) -> None:
    """0-4 s and 6-10 s: 40 steps of 0.1 s each; 4-6 s, hot: 10 steps of 0.2 s. Batch 32.

    Samples at 0.03, 0.13, ... stand for what is nearer to them than to their neighbours, so those from 4.03 to 5.93 s
    mark 3.98-5.98 s: the 10 slow steps and, by 0.02 s, the one before. 11 of 90 marked; the 79 others take 7.9 s.
    """
    gpu = FakeGpu(clock, throttled=lambda t_s: 4 <= t_s < 6)
    telemetry = record(FakeNvml([gpu]), ["GPU-aaaa"])
    lengths = [0.1] * 40 + [0.2] * 10 + [0.1] * 40
    steps = FakeSteps(np.cumsum(lengths).round(6), np.array(lengths))

    marks = mark_disturbed(steps, telemetry.samples)
    found = disturbance(marks)
    assert np.flatnonzero(marks.disturbed).tolist() == list(range(39, 50))
    assert found.marked_share == pytest.approx(11 / 90)
    assert found.unobserved_share == 0
    assert found.share_by_reason == {
        "gpu 0: hw_slowdown": pytest.approx(11 / 90),
        "gpu 0: hw_thermal_slowdown": pytest.approx(11 / 90),
    }
    clean = steps.step_s[marks.clean]
    assert len(clean) * BATCH / sum(clean) == pytest.approx(320.0)
    assert len(lengths) * BATCH / sum(lengths) == pytest.approx(288.0)

    summary = summarize(telemetry, Window.of(steps)).gpus[0]
    assert summary.sm_mhz is not None and summary.temperature_c is not None
    assert (summary.sm_mhz.min, summary.sm_mhz.max) == (705, 1410)
    assert summary.sm_mhz.mean == pytest.approx(1410 - 705 * 20 / 100)
    assert summary.temperature_c.max == 90
    assert summary.throttle == {"hw_slowdown": pytest.approx(0.2), "hw_thermal_slowdown": pytest.approx(0.2)}
    assert (summary.pcie_generation, summary.pcie_width, summary.facts.pcie_max_width) == (4, 8, 16)
    assert summary.facts.sm_max_mhz == 1410
    assert summary.memory_peak_bytes == 3 * 1024**3


@pytest.mark.parametrize("first_mj", [0, 2**64 - 700_000, 2**64 - 1])
def test_energy_by_the_counter_also_where_it_starts_anew(
    clock: Clock, record: Callable[..., Telemetry], first_mj: int
) -> None:
    def fails(call: str, t_s: float) -> int | None:  # no power that could stand in
        return pynvml.NVML_ERROR_NOT_SUPPORTED if call == "nvmlDeviceGetPowerUsage" else None

    nvml = FakeNvml([FakeGpu(clock, first_mj=first_mj, fails=fails)])
    found = energy(record(nvml, ["0"], gaps={"gpu 0 power_w"}), Window(1.0, 9.0))
    assert found.joules == pytest.approx(1600.0)
    assert found.source == "nvml counter"
    assert found.joules_per_image(800) == pytest.approx(2.0)


def test_a_counter_that_was_reset_is_bridged_by_power(clock: Clock, record: Callable[..., Telemetry]) -> None:
    telemetry = record(FakeNvml([FakeGpu(clock, first_mj=10**12, reset_s=5.0)]), ["0"])
    found = energy(telemetry, Window(1.0, 9.0))
    assert found.joules == pytest.approx(1600.0, rel=1e-6)


def test_a_gpu_without_counter_has_its_power_integrated(clock: Clock, record: Callable[..., Telemetry]) -> None:
    def fails(call: str, t_s: float) -> int | None:
        return pynvml.NVML_ERROR_NOT_SUPPORTED if call == "nvmlDeviceGetTotalEnergyConsumption" else None

    old, new = FakeGpu(clock, uuid="GPU-old", fails=fails), FakeGpu(clock, uuid="GPU-new")
    telemetry = record(FakeNvml([old, new]), ["GPU-new", "GPU-old"], gaps={"gpu 1 energy_mj"})
    found = energy(telemetry, Window(1.0, 9.0))
    assert [device.source for device in found.devices] == ["nvml counter", "power integration"]
    assert found.source == "power integration"  # the weaker of the two
    assert found.joules == pytest.approx(3200.0)
    assert [one.why for one in telemetry.missing if one.what == "gpu 1 energy_mj"] == ["Not Supported"]


def test_a_call_that_fails_for_a_while_is_a_gap_named_once(clock: Clock, record: Callable[..., Telemetry]) -> None:
    def fails(call: str, t_s: float) -> int | None:
        return pynvml.NVML_ERROR_UNKNOWN if call.endswith("EventReasons") and 3 <= t_s < 4 else None

    telemetry = record(FakeNvml([FakeGpu(clock, fails=fails)]), ["0"], gaps={"gpu 0 throttle_bits"})
    bits = [sample.gpus[0].throttle_bits for sample in telemetry.samples]
    assert bits[29:41] == [0, *[None] * 10, 0]
    named = [one for one in telemetry.missing if one.what == "gpu 0 throttle_bits"]
    assert [(one.why, one.t_s) for one in named] == [("Unknown Error", 3.03)]
    marks = mark_disturbed(FakeSteps(np.array([2.9, 3.6, 5.0]), np.array([0.1, 0.2, 0.1])), telemetry.samples)
    assert marks.clean.tolist() == [True, False, True]
    assert not marks.disturbed.any()


def test_a_lost_gpu_is_asked_no_more_and_the_others_go_on(clock: Clock, record: Callable[..., Telemetry]) -> None:
    refused: list[float] = []

    def fails(call: str, t_s: float) -> int | None:
        if t_s < 5:
            return None
        refused.append(t_s)
        return pynvml.NVML_ERROR_GPU_IS_LOST

    lost, kept = FakeGpu(clock, uuid="GPU-lost", fails=fails), FakeGpu(clock, uuid="GPU-kept")
    telemetry = record(FakeNvml([kept, lost]), ["GPU-kept", "GPU-lost"], gaps={"gpu 1"})
    assert telemetry.samples[-1].gpus[0].power_w == 200
    assert telemetry.samples[-1].gpus[1].power_w is None
    assert ("gpu 1", "GPU is lost", 5.03) in [(one.what, one.why, one.t_s) for one in telemetry.missing]
    assert len(refused) == 1
    found = energy(telemetry, Window(1.0, 9.0))
    assert [device.joules for device in found.devices] == [pytest.approx(1600.0), None]
    assert (found.joules, found.source) == (None, None)  # half a total is none


@pytest.mark.parametrize(
    ("nvml", "wanted", "what"),
    [
        (None, ["0"], "nvml"),
        (FakeNvml([], init_error=pynvml.NVML_ERROR_DRIVER_NOT_LOADED), ["0"], "nvml"),
        (FakeNvml([FakeGpu(Clock())]), ["GPU-bbbb"], "gpu 0"),
    ],
)
def test_without_a_gpu_the_stream_says_why_and_has_the_host(
    record: Callable[..., Telemetry], nvml: object, wanted: list[str], what: str
) -> None:
    telemetry = record(nvml, wanted, until_s=1.0, gaps={what})
    assert telemetry.samples[-1].gpus[0].power_w is None
    assert telemetry.samples[-1].host.memory_used_bytes
    assert energy(telemetry, Window(0.1, 0.9)).joules is None


def test_torchs_uuid_without_prefix_finds_the_gpu(clock: Clock, record: Callable[..., Telemetry]) -> None:
    telemetry = record(FakeNvml([FakeGpu(clock), FakeGpu(clock, uuid="GPU-bbbb")]), ["bbbb"], until_s=0.1)
    assert telemetry.header is not None
    assert (telemetry.header.gpus[0].index, telemetry.header.gpus[0].uuid) == (1, "GPU-bbbb")
    assert telemetry.header.gpus[0].power_limit_w == 400


def test_an_older_drivers_throttle_reasons_are_read(clock: Clock, record: Callable[..., Telemetry]) -> None:
    def fails(call: str, t_s: float) -> int | None:
        return pynvml.NVML_ERROR_FUNCTION_NOT_FOUND if call.endswith("EventReasons") else None

    telemetry = record(FakeNvml([FakeGpu(clock, fails=fails)]), ["0"], until_s=0.2)
    assert telemetry.samples[0].gpus[0].throttle_bits == pynvml.nvmlClocksEventReasonSwPowerCap


def test_ecc_errors_of_the_window_only(clock: Clock, record: Callable[..., Telemetry]) -> None:
    gpu = FakeGpu(clock, ecc=lambda t_s: 7 + (t_s > 1) * 100 + (t_s > 5) * 3)
    telemetry = record(FakeNvml([gpu]), ["0"])
    summary = summarize(telemetry, Window(3.0, 9.0)).gpus[0]
    assert (summary.ecc_corrected, summary.ecc_uncorrected) == (3, 0)
    assert summarize(telemetry, Window(0.0, 10.0)).gpus[0].ecc_corrected == 103  # from the first count there is


def test_ecc_absent_is_absent_not_zero(clock: Clock, record: Callable[..., Telemetry]) -> None:
    def fails(call: str, t_s: float) -> int | None:
        return pynvml.NVML_ERROR_NOT_SUPPORTED if call == "nvmlDeviceGetTotalEccErrors" else None

    gpu = FakeGpu(clock, fails=fails)
    telemetry = record(FakeNvml([gpu]), ["0"], until_s=3.0, gaps={"gpu 0 ecc_corrected"})
    assert summarize(telemetry, Window(1.0, 2.0)).gpus[0].ecc_corrected is None


def test_other_processes_on_the_device_are_named(clock: Clock, record: Callable[..., Telemetry]) -> None:
    mine = os.getpid()  # to the run, which has no process here, this one is foreign
    summary = summarize(record(FakeNvml([FakeGpu(clock, pids=(mine,))]), ["0"], until_s=3.0), Window(0.5, 2.5))
    assert summary.gpus[0].foreign == [f"{mine} {psutil.Process(mine).name()}"]
    summary = summarize(record(FakeNvml([FakeGpu(clock)]), ["0"], until_s=3.0), Window(0.5, 2.5))
    assert summary.gpus[0].foreign == []


def test_the_end_shuts_the_library_down(clock: Clock) -> None:
    nvml = FakeNvml([FakeGpu(clock)])
    reader = GpuReader(nvml, ["0"], MissingLog())
    reader.close()
    assert nvml.gpus == []
    GpuReader(None, ["0"], MissingLog()).close()  # nothing to shut down
