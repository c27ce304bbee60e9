"""The GPUs of this host as NVML (the NVIDIA driver's library) reports them, and whether they can run a spec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from gbench.errors import InfrastructureError, UsageError
from gbench.settings.spec import RunSpec

AMPERE = (8, 0)
MIG = "MIG-"  # the beginning of a MIG device's UUID
HIDDEN_HINT = "name GPUs that `nvidia-smi -L` lists, in --gpus or CUDA_VISIBLE_DEVICES, or use neither"


@dataclass(frozen=True)
class Gpu:
    index: int
    """In NVML's order."""
    name: str
    uuid: str
    compute_capability: tuple[int, int]
    slices: tuple[Gpu, ...] = ()
    """Its MIG devices, with its own index."""
    vbios: str | None = None
    """Version of its firmware; None if the driver does not report it."""


@dataclass(frozen=True)
class Gpus:
    """The devices that a run may use."""

    devices: tuple[Gpu, ...] = ()
    """In the order in which the run sees them."""
    driver: str | None = None
    missing: str | None = None
    hidden: tuple[Gpu, ...] = ()
    """The host's other devices, hidden from the run by --gpus or CUDA_VISIBLE_DEVICES."""
    remedy: str = "install the NVIDIA driver"
    """What to do when they are missing."""


# What to do about nvmlInit's errors, by NVML's number.
REMEDIES = {
    4: "let this user open /dev/nvidia*: in a container, start it with --gpus; on a host, see their permissions",
    9: "load the driver (sudo modprobe nvidia), and see dmesg if that fails",
    12: "install the NVIDIA driver; in a container, start it with --gpus, and with NVIDIA_DRIVER_CAPABILITIES=all",
    17: "let this process's control group use /dev/nvidia*: restart the container, or the job with its GPUs",
    18: "the driver was updated under a running system: reboot, or stop what uses the GPUs and reload its modules",
    999: "restart the container: it has lost its GPUs; on a host, see dmesg for Xid errors, and reboot",
}
ASK_THE_DRIVER = "see what nvidia-smi says, and dmesg"


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
            driver = nvml.nvmlSystemGetDriverVersion()
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
        return Gpus(missing=f"NVML: {error}", remedy=REMEDIES.get(getattr(error, "value", 0), ASK_THE_DRIVER))
    missing = None if devices else "the NVIDIA driver reports no GPU"
    return Gpus(devices, driver, missing, remedy="see whether lspci and dmesg list one")


def visible(gpus: Gpus, variable: str | None) -> Gpus:
    """The host's GPUs as CUDA shows them to a process whose CUDA_VISIBLE_DEVICES is `variable` (None: not set).

    Entries are indices, prefixes of UUIDs, or UUIDs of MIG devices. A process that sees a MIG device sees no other
    device. The first entry that names no GPU ends the list, and a duplicate empties it (CUDA Programming Guide, CUDA
    environment variables; torch.cuda does the same).
    """
    if variable is None or gpus.missing:
        return gpus
    shown: list[Gpu] = []
    missing = f"{variable!r} names none of this host's {len(gpus.devices)}"
    for entry in map(str.strip, variable.split(",")):
        named = _named(gpus, entry)
        if len(named) != 1 or (shown and MIG in (entry[:4], shown[0].uuid[:4])):
            break
        shown += named
    if len(set(shown)) < len(shown):
        shown, missing = [], f"{variable!r} names one twice"
    indices = {gpu.index for gpu in shown}
    hidden = tuple(gpu for gpu in gpus.devices if gpu.index not in indices)
    return Gpus(tuple(shown), gpus.driver, None if shown else missing, hidden)


def _named(gpus: Gpus, entry: str) -> list[Gpu]:
    """The GPUs and MIG devices of a host that an entry of CUDA_VISIBLE_DEVICES names."""
    whole = entry.startswith("GPU-")
    named = [gpu for gpu in gpus.devices if entry == str(gpu.index) or (whole and gpu.uuid.startswith(entry))]
    return named + [part for gpu in gpus.devices for part in gpu.slices if entry == part.uuid]


def require_devices(spec: RunSpec, gpus: Gpus) -> None:
    """Check that all the GPUs of the host satisfy the spec.

    Raises:
        InfrastructureError: there is no GPU.
        UsageError: there are too few, one does not exist, or they don't support the precision.
    """
    if spec.device == "cpu":
        return
    host, gpus = gpus, visible(gpus, spec.cuda_visible_devices)
    if not host.missing:
        _require_known(spec.cuda_visible_devices, host)
    if gpus.missing:
        raise InfrastructureError(
            f"--device cuda: no GPU was found ({gpus.missing})",
            f"{HIDDEN_HINT if gpus.hidden else gpus.remedy}, or run on the processor: --device cpu",
        )
    if spec.devices_per_node > len(gpus.devices):
        chosen = f" of {spec.cuda_visible_devices!r}" if spec.cuda_visible_devices is not None else ""
        raise UsageError(
            f"DEVICE_COUNT {spec.device_count}: this host has {len(gpus.devices)}{chosen}",
            f"ask for at most {len(gpus.devices)}; `nvidia-smi -L` lists them",
        )
    for gpu in gpus.devices[: spec.devices_per_node]:
        if spec.precision in ("TF32", "BF16") and gpu.compute_capability < AMPERE:
            has = ".".join(map(str, gpu.compute_capability))
            raise UsageError(
                f"PRECISION {spec.precision} needs compute capability 8.0, GPU {gpu.index} ({gpu.name}) has {has}",
                "take FP32 or AMP",
            )


def _require_known(variable: str | None, host: Gpus) -> None:
    """Raises UsageError: an entry of CUDA_VISIBLE_DEVICES names no GPU of the host, or several."""
    for entry in takewhile("-1".__ne__, map(str.strip, variable.split(",") if variable else ())):  # -1 ends the list
        if (count := len(_named(host, entry))) != 1:
            last = len(host.devices) - 1
            has = f"GPUs 0{' and ' if last == 1 else '-'}{last}" if last else "GPU 0 alone"
            why = f"{count} GPUs of this host have such a UUID" if count else f"this host has {has}"
            of = f" of {variable!r}" if variable != entry else ""
            raise UsageError(f"GPU {entry!r}{of}: {why}", HIDDEN_HINT)


def with_full_uuids(spec: RunSpec, gpus: Gpus) -> RunSpec:
    """`spec` with whole UUIDs: unlike CUDA, a container engine takes no prefixes."""
    if spec.cuda_visible_devices is None or (shown := visible(gpus, spec.cuda_visible_devices)).missing:
        return spec
    entries = [entry.strip() for entry in spec.cuda_visible_devices.split(",")]
    for place, gpu in enumerate(shown.devices):
        entries[place] = entries[place] if entries[place].isdecimal() else gpu.uuid
    return spec.replaced(cuda_visible_devices=",".join(entries))


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    name, uuid, vbios = nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetUUID(handle), None
    with suppress(nvml.NVMLError):
        vbios = nvml.nvmlDeviceGetVbiosVersion(handle)
    gpu = Gpu(index, name, uuid, (major, minor), vbios=vbios)
    slices = (replace(gpu, name=nvml.nvmlDeviceGetName(part), uuid=uuid) for part, uuid in _slices(nvml, handle))
    return replace(gpu, slices=tuple(slices))


def _slices(nvml: Any, handle: Any) -> Iterator[tuple[Any, str]]:
    """Handle and UUID of each MIG device of a GPU; none if it has no MIG."""
    with suppress(nvml.NVMLError):
        for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with suppress(nvml.NVMLError):  # no device at this place
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
                yield part, nvml.nvmlDeviceGetUUID(part)
