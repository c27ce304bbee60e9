"""The GPUs of this host as NVML (the NVIDIA driver's library) reports them, and whether they can run a spec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gbench.errors import InfrastructureError, UsageError
from gbench.settings.spec import RunSpec

AMPERE = (8, 0)
HIDDEN_HINT = "unset CUDA_VISIBLE_DEVICES, or name GPUs that `nvidia-smi -L` lists"


@dataclass(frozen=True)
class Gpu:
    """One device."""

    index: int
    """In NVML's order."""
    name: str
    uuid: str
    compute_capability: tuple[int, int]


@dataclass(frozen=True)
class Gpus:
    """The devices that a run may use."""

    devices: tuple[Gpu, ...] = ()
    """In the order in which the run sees them."""
    driver: str | None = None
    """Version of the driver."""
    missing: str | None = None
    """Why there are no devices."""
    hidden: tuple[Gpu, ...] = ()
    """The host's other devices, hidden from the run by CUDA_VISIBLE_DEVICES."""


@contextmanager
def open_nvml() -> Iterator[Any]:
    """The module pynvml, initialised. Raises pynvml.NVMLError: there is no driver."""
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def find_gpus() -> Gpus:
    """Query NVML. A machine without driver or GPU is no error; `missing` then gives the reason."""
    import pynvml

    try:
        with open_nvml() as nvml:
            devices = tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
            driver = _text(nvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        return Gpus(missing=f"NVML: {error}")
    return Gpus(devices, driver, None if devices else "the NVIDIA driver reports no GPU")


def visible(gpus: Gpus, variable: str | None) -> Gpus:
    """The host's GPUs as CUDA shows them to a process whose CUDA_VISIBLE_DEVICES is `variable` (None: not set).

    Entries are indices or prefixes of UUIDs. The first entry that names no GPU ends the list, and a duplicate empties
    it (CUDA Programming Guide, CUDA environment variables; torch.cuda does the same). MIG slices don't count as GPUs.
    """
    if variable is None or gpus.missing:
        return gpus
    shown: list[Gpu] = []
    for entry in map(str.strip, variable.split(",")):
        named = [gpu for gpu in gpus.devices if entry == str(gpu.index) or _begins(gpu.uuid, entry)]
        if len(named) != 1:
            break
        shown += named
    if len(set(shown)) < len(shown):
        shown = []
    missing = None if shown else f"CUDA_VISIBLE_DEVICES={variable!r} shows none of this host's {len(gpus.devices)}"
    return Gpus(tuple(shown), gpus.driver, missing, tuple(gpu for gpu in gpus.devices if gpu not in shown))


def _begins(uuid: str, entry: str) -> bool:
    return entry.startswith("GPU-") and uuid.startswith(entry)


def require_devices(spec: RunSpec, gpus: Gpus) -> None:
    """Check that all the GPUs of the host satisfy the spec.

    Raises:
        InfrastructureError: there is no GPU.
        UsageError: there are too few, or they don't support the precision.
    """
    if spec.device == "cpu":
        return
    gpus = visible(gpus, spec.cuda_visible_devices)
    if gpus.missing:
        raise InfrastructureError(
            f"--device cuda: no GPU was found ({gpus.missing})",
            f"{HIDDEN_HINT if gpus.hidden else 'install the NVIDIA driver'}, or run on the processor: --device cpu",
        )
    if spec.device_count > len(gpus.devices):
        hides = f", and CUDA_VISIBLE_DEVICES hides {len(gpus.hidden)} more" if gpus.hidden else ""
        raise UsageError(
            f"DEVICE_COUNT {spec.device_count}: this host has {len(gpus.devices)}{hides}",
            f"ask for at most {len(gpus.devices)}; `nvidia-smi -L` lists them",
        )
    for gpu in gpus.devices[: spec.device_count]:
        if spec.precision in ("TF32", "BF16") and gpu.compute_capability < AMPERE:
            has = ".".join(map(str, gpu.compute_capability))
            raise UsageError(
                f"PRECISION {spec.precision} needs compute capability 8.0, GPU {gpu.index} ({gpu.name}) has {has}",
                "take FP32 or AMP",
            )


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(index, _text(nvml.nvmlDeviceGetName(handle)), _text(nvml.nvmlDeviceGetUUID(handle)), (major, minor))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # older bindings return bytes
