"""Read the run's GPUs through NVML, the NVIDIA driver's library. Any call may fail at any time; sampling continues."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gbench.base.whole import whole_number
from gbench.measure.telemetry.samples import MissingLog
from gbench.runfolder.telemetry_result import GpuFacts

# Codes of nvmlReturn_t (nvml.h).
INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, GPU_IS_LOST = 2, 3, 4, 13, 15
PERMANENT = (INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND)  # repeating the call does not help

Call = Callable[[Any, Any], Any]  # (the pynvml module, a device handle) -> the reading


def _throttle_bits(nvml: Any, device: Any) -> int:
    """Clocks-event reasons; drivers before 535 call them throttle reasons."""
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(device))
    except Exception as error:
        if not isinstance(error, AttributeError) and getattr(error, "value", None) != FUNCTION_NOT_FOUND:
            raise
    return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device))


def _processes(nvml: Any, device: Any) -> list[int]:
    compute = nvml.nvmlDeviceGetComputeRunningProcesses(device)
    return sorted({process.pid for process in [*compute, *nvml.nvmlDeviceGetGraphicsRunningProcesses(device)]})


def _ecc(nvml: Any, device: Any, kind: int) -> int:
    return int(nvml.nvmlDeviceGetTotalEccErrors(device, kind, nvml.NVML_VOLATILE_ECC))


# The energy counter comes first, as its time must be accurate.
FAST: dict[str, Call] = {
    "energy_mj": lambda nvml, device: nvml.nvmlDeviceGetTotalEnergyConsumption(device),
    "power_w": lambda nvml, device: nvml.nvmlDeviceGetPowerUsage(device) / 1000,
    "throttle_bits": _throttle_bits,
    "sm_mhz": lambda nvml, device: nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM),
    "memory_mhz": lambda nvml, device: nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_MEM),
    "utilisation_percent": lambda nvml, device: nvml.nvmlDeviceGetUtilizationRates(device).gpu,
    "memory_used_bytes": lambda nvml, device: nvml.nvmlDeviceGetMemoryInfo(device).used,
    "temperature_c": lambda nvml, device: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU),
}
SLOW: dict[str, Call] = {
    "ecc_corrected": lambda nvml, device: _ecc(nvml, device, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
    "ecc_uncorrected": lambda nvml, device: _ecc(nvml, device, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    "pcie_generation": lambda nvml, device: nvml.nvmlDeviceGetCurrPcieLinkGeneration(device),
    "pcie_width": lambda nvml, device: nvml.nvmlDeviceGetCurrPcieLinkWidth(device),
    "processes": _processes,
}
FACTS: dict[str, Call] = {
    "index": lambda nvml, device: nvml.nvmlDeviceGetIndex(device),
    "uuid": lambda nvml, device: nvml.nvmlDeviceGetUUID(device),
    "name": lambda nvml, device: nvml.nvmlDeviceGetName(device),
    "sm_max_mhz": lambda nvml, device: nvml.nvmlDeviceGetMaxClockInfo(device, nvml.NVML_CLOCK_SM),
    "memory_max_mhz": lambda nvml, device: nvml.nvmlDeviceGetMaxClockInfo(device, nvml.NVML_CLOCK_MEM),
    "memory_bytes": lambda nvml, device: nvml.nvmlDeviceGetMemoryInfo(device).total,
    "power_limit_w": lambda nvml, device: nvml.nvmlDeviceGetEnforcedPowerLimit(device) / 1000,
    "pcie_max_generation": lambda nvml, device: nvml.nvmlDeviceGetMaxPcieLinkGeneration(device),
    "pcie_max_width": lambda nvml, device: nvml.nvmlDeviceGetMaxPcieLinkWidth(device),
}


@dataclass
class _Device:
    label: str
    asked: str
    handle: Any = None  # None: never found, or lost
    unreadable: set[str] = field(default_factory=set)


class GpuReader:
    """Reads the GPUs that a run uses, in the run's order: `gpu 0` is its first.

    nvml: the pynvml module; None when it can't be imported. wanted: a UUID (torch gives it without `GPU-`) or NVML
    index each. missing: receives what can't be read.
    """

    def __init__(self, nvml: Any, wanted: Sequence[str], missing: MissingLog) -> None:
        self._nvml, self._missing = nvml, missing
        self._devices = [_Device(f"gpu {number}", asked) for number, asked in enumerate(wanted)]
        if self._devices and self._started():
            for device in self._devices:
                device.handle = self._find(device)
        self.facts = [GpuFacts(device.asked, **self._read(device, FACTS)) for device in self._devices]

    def read(self, slow: bool) -> list[dict[str, Any]]:
        """One reading of each GPU, by name, without what can't be read. slow: include the once-a-second readings."""
        calls = {**FAST, **SLOW} if slow else FAST
        return [self._read(device, calls) for device in self._devices]

    def close(self) -> None:
        """Shut the library down, if it was started."""
        with contextlib.suppress(Exception):
            self._nvml.nvmlShutdown()

    def _started(self) -> bool:
        if self._nvml is None:
            self._missing.add("nvml", "the Python package nvidia-ml-py can't be imported")
            return False
        try:
            self._nvml.nvmlInit()
        except Exception as error:
            self._missing.add("nvml", str(error))
            return False
        return True

    def _find(self, device: _Device) -> Any:
        """The device's handle; None if there is no such GPU."""
        try:
            if (index := whole_number(device.asked)) is not None:
                return self._nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = device.asked if device.asked.startswith(("GPU-", "MIG-")) else f"GPU-{device.asked}"
            return self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        except Exception as error:
            self._missing.add(device.label, f"NVML finds no {device.asked} ({error})")
            return None

    def _read(self, device: _Device, calls: dict[str, Call]) -> dict[str, Any]:
        values = {}
        for name, call in calls.items():
            if device.handle is None:
                break
            if name in device.unreadable:
                continue
            try:
                values[name] = call(self._nvml, device.handle)
            except Exception as error:  # the sampler continues after any exception of the driver's library
                self._failed(device, name, error)
        return values

    def _failed(self, device: _Device, name: str, error: Exception) -> None:
        code = getattr(error, "value", None)
        if code == GPU_IS_LOST:
            device.handle = None
            self._missing.add(device.label, str(error))
            return
        if code in PERMANENT or isinstance(error, AttributeError):  # AttributeError: pynvml has no such function
            device.unreadable.add(name)
        self._missing.add(f"{device.label} {name}", str(error))
