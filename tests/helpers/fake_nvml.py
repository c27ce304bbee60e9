"""A fake pynvml with simulated cards: the real names, constants and errors, but invented values."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml

NOT_SUPPORTED = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
GRAPHICS, SM, MEMORY = pynvml.NVML_CLOCK_GRAPHICS, pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM
LINKS = 18


def _links(up: int) -> Any:
    def state(link: int) -> int:
        if link >= LINKS:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return int(link < up)

    return state


def links(up: int) -> dict[str, Any]:
    """A card with `up` of its 18 NVLinks up."""
    return {"NvLinkState": _links(up)}


def clocks(**clock_of: dict[int, int]) -> dict[str, Any]:
    """Clock functions from a table of MHz: `clocks(ClockInfo={SM: 345})`."""
    return {name: table.__getitem__ for name, table in clock_of.items()}


def process(pid: int, gib: float | None) -> SimpleNamespace:
    """NVML's information about a process on a card."""
    return SimpleNamespace(pid=pid, usedGpuMemory=None if gib is None else int(gib * 1024**3))


# A healthy idle H100: name of the function without nvmlDeviceGet -> a value, or a function that computes it.
HEALTHY: dict[str, Any] = {
    "Name": "NVIDIA H100 80GB HBM3",
    "UUID": "GPU-0",
    "CudaComputeCapability": (9, 0),
    "MemoryInfo": SimpleNamespace(total=80 * 1024**3, free=79 * 1024**3, used=1024**3),
    "PersistenceMode": 1,
    **clocks(
        ApplicationsClock={GRAPHICS: 1980, MEMORY: 2619},
        DefaultApplicationsClock={GRAPHICS: 1980, MEMORY: 2619},
        MaxClockInfo={GRAPHICS: 1980, SM: 1980, MEMORY: 2619},
        ClockInfo={SM: 345, MEMORY: 2619},
    ),
    "CurrentClocksEventReasons": pynvml.nvmlClocksThrottleReasonGpuIdle,
    "EnforcedPowerLimit": 700_000,
    "PowerManagementDefaultLimit": 700_000,
    "EccMode": [1, 1],
    "TotalEccErrors": 0,
    "RemappedRows": (0, 0, 0, 0),
    "RetiredPagesPendingStatus": NOT_SUPPORTED,  # rows are remapped instead, since Ampere
    "MigMode": [0, 0],
    "CurrPcieLinkGeneration": 5,
    "MaxPcieLinkGeneration": 5,
    "GpuMaxPcieLinkGeneration": 5,
    "CurrPcieLinkWidth": 16,
    "MaxPcieLinkWidth": 16,
    **links(LINKS),
    "PciInfo": SimpleNamespace(busId="00000000:3B:00.0"),
    "ComputeRunningProcesses": [],
    "GraphicsRunningProcesses": [],
}


def fake_nvml(*cards: dict[str, Any], driver: str = "570.86.10", cuda: int = 12080, init: object = None) -> ModuleType:
    """The module. cards: each card's differences from HEALTHY. init: an error that nvmlInit raises."""
    module = ModuleType("pynvml")
    handles = [{**HEALTHY, "UUID": f"GPU-{index}", **card} for index, card in enumerate(cards)]
    for name in dir(pynvml):
        if name.startswith(("NVML", "nvmlClocks")):
            setattr(module, name, getattr(pynvml, name))
        elif name.startswith("nvmlDeviceGet"):
            setattr(module, name, _device_function(name.removeprefix("nvmlDeviceGet")))
    module.open = 0  # type: ignore[attr-defined]  # how many nvmlInit still wait for their nvmlShutdown

    def start() -> None:
        if init is not None:
            raise init  # type: ignore[misc]
        module.open += 1

    def stop() -> None:
        module.open -= 1

    system = {
        "nvmlInit": start,
        "nvmlShutdown": stop,
        "nvmlDeviceGetCount": lambda: len(handles),
        "nvmlDeviceGetHandleByIndex": lambda index: handles[index],
        "nvmlSystemGetDriverVersion": lambda: driver,
        "nvmlSystemGetCudaDriverVersion": lambda: cuda,
        "nvmlSystemGetProcessName": lambda pid: f"/usr/bin/job{pid}".encode(),
    }
    for name, function in system.items():
        setattr(module, name, function)
    return module


def _device_function(what: str) -> Any:
    def function(handle: dict[str, Any], *arguments: Any) -> Any:
        value = handle.get(what, NOT_SUPPORTED)
        if isinstance(value, Exception):
            raise value
        return value(*arguments) if callable(value) else value

    return function
