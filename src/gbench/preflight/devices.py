"""The GPUs of this host as NVML, the NVIDIA driver's own library, reports them; can they do what is asked?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gbench.errors import InfrastructureError, UsageError
from gbench.settings.spec import RunSpec

AMPERE = (8, 0)


@dataclass(frozen=True)
class Gpu:
    """One device, in NVML's order."""

    index: int
    name: str
    uuid: str
    compute_capability: tuple[int, int]


@dataclass(frozen=True)
class Gpus:
    """All devices and the driver; `missing` says why there are none."""

    devices: tuple[Gpu, ...] = ()
    driver: str | None = None
    missing: str | None = None


def find_gpus() -> Gpus:
    """Ask NVML; a machine without driver or GPU is an answer, not an error."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Gpus(missing=f"NVML: {error}")
    try:
        devices = tuple(_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        return Gpus(devices, driver, None if devices else "the NVIDIA driver reports no GPU")
    except pynvml.NVMLError as error:
        return Gpus(missing=f"NVML: {error}")
    finally:
        pynvml.nvmlShutdown()


def require_devices(spec: RunSpec, gpus: Gpus) -> None:
    """Check that the host has what the spec asks for.

    Raises:
        InfrastructureError: no GPU.
        UsageError: too few of them, or a precision that they can't do.
    """
    if spec.device == "cpu":
        return
    if gpus.missing:
        raise InfrastructureError(
            f"--device cuda: no GPU was found ({gpus.missing})",
            "install the NVIDIA driver, or pass --device cpu to run on the processor",
        )
    if spec.device_count > len(gpus.devices):
        raise UsageError(
            f"DEVICE_COUNT {spec.device_count}: this host has {len(gpus.devices)}",
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
    return value.decode() if isinstance(value, bytes) else value  # older bindings give bytes
