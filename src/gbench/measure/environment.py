"""Facts about the worker's process: versions, devices, CPU and memory."""

import contextlib
import ctypes
import hashlib
import platform
import re
import resource
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from gbench import __version__
from gbench.machine.host import cpu_facts, cpu_name

HEADER = re.compile(r"^(Name|Version):(.*)$", re.MULTILINE)  # of a package's METADATA


def software() -> dict[str, Any]:
    """Versions of all software that affects results; None for what is not installed."""
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    return {
        "gbench_version": __version__,
        "python_version": platform.python_version(),
        "pytorch_version": torch.__version__,
        "torchvision_version": metadata.version("torchvision"),
        "cuda_version": torch.version.cuda,
        "cudnn_version": cudnn,
        "nccl_version": _nccl_version(),
        "executable": sys.executable,
        "packages_sha256": packages_sha256(),
    }


def packages_sha256() -> str:
    """SHA-256 of all installed packages: sorted lines NAME==VERSION, as in `pip freeze`."""
    lines = {
        f"{name.lower()}=={version}\n" for name, version in map(_name_and_version, metadata.distributions()) if name
    }
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _name_and_version(package: metadata.Distribution) -> tuple[str, str]:
    """As `package.name` and `package.version`, without parsing the whole of a package's METADATA; empty if missing."""
    text = package.read_text("METADATA") or package.read_text("PKG-INFO") or package.read_text("") or ""
    head = text.partition("\n\n")[0]
    found = {key: value.strip() for key, value in reversed(HEADER.findall(head))}
    return found.get("Name", ""), found.get("Version", "")


def device_name(device: torch.device) -> str:
    """The device's name as CNDB's `dev` has it: `V100-PCIE-32GB`; on CPU the processor's model name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device).removeprefix("NVIDIA ").removeprefix("Tesla ")
    return cpu_name()


def hardware(device: torch.device) -> dict[str, Any]:
    """CPU, memory and, on a GPU, the devices that this process sees."""
    values: dict[str, Any] = {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpu": cpu_facts(),
        "memory_bytes": psutil.virtual_memory().total,
        "torch_threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        values["gpus"] = [_gpu(index) for index in range(torch.cuda.device_count())]
    return values


def memory(device: torch.device) -> dict[str, int]:
    """Peaks of this process in bytes: resident on the host, and on a GPU allocated and reserved by torch."""
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    values = {"host_rss_bytes": kib * 1024}
    if device.type == "cuda":
        values["allocated_bytes"] = torch.cuda.max_memory_allocated(device)
        values["reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    return values


def reset_memory_peaks(device: torch.device) -> None:
    """Reset the peaks of `memory`; on the host where the kernel permits it (Linux, proc(5)).

    What malloc keeps of freed memory goes back to the kernel first (glibc), or it would count for what comes next.
    """
    if device.type == "cpu":
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _gpu(index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {
        "index": index,
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": properties.total_memory,
        "uuid": str(getattr(properties, "uuid", "")) or None,
    }


def _nccl_version() -> str | None:
    if not (torch.cuda.is_available() and torch.distributed.is_nccl_available()):
        return None
    return ".".join(str(part) for part in torch.cuda.nccl.version())
