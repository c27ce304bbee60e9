"""The highest clocks that this machine may reach: what a slower node differs in. Never raises."""

from contextlib import suppress

import psutil

from gbench.machine.gpus import Gpus, open_nvml


def clocks(gpus: Gpus) -> list[str]:
    """Highest clocks and power limit of each GPU; of the processor if there is none."""
    if gpus.devices:
        return [_of_gpu(gpu.index) for gpu in gpus.devices]
    with suppress(Exception):  # psutil reads what the kernel may not report
        if (frequency := psutil.cpu_freq()) is not None and frequency.max:
            return [f"processor {frequency.max:.0f} MHz"]
    return []


def _of_gpu(index: int) -> str:
    parts = []
    with suppress(Exception), open_nvml() as nvml:  # a driver need not report them
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        for name, kind in (("SM", nvml.NVML_CLOCK_SM), ("memory", nvml.NVML_CLOCK_MEM)):
            parts.append(f"{name} {nvml.nvmlDeviceGetMaxClockInfo(handle, kind)} MHz")
        parts.append(f"{nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000:.0f} W")
    return ", ".join(parts) or "not reported"
