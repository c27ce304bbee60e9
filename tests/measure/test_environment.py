"""Facts about the worker's process."""

from __future__ import annotations

import hashlib
import platform
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from gbench import __version__
from gbench.machine.host import cpu_facts, cpu_name
from gbench.measure import environment


def test_the_peak_of_memory_begins_anew_when_it_is_reset() -> None:
    cpu = torch.device("cpu")
    large = np.ones(1 << 25)  # 256 MiB, every page of it touched
    with_it = environment.memory(cpu)["host_rss_bytes"]
    del large
    assert environment.memory(cpu)["host_rss_bytes"] >= with_it
    environment.reset_memory_peaks(cpu)
    assert environment.memory(cpu)["host_rss_bytes"] < with_it - (200 << 20)


def test_the_hash_of_packages_is_of_names_and_versions() -> None:
    lines = {f"{one.name.lower()}=={one.version}\n" for one in metadata.distributions() if one.name}
    assert environment.packages_sha256() == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def test_a_package_may_lack_its_version_or_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = {f"{one.name.lower()}=={one.version}\n" for one in metadata.distributions() if one.name} | {"odd==\n"}
    for folder, text in (
        ("odd-1.dist-info", "Metadata-Version: 2.1\nName: Odd\n"),
        ("none-1.dist-info", "Version: 1\n"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "METADATA").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert environment.packages_sha256() == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def test_the_software_of_this_process() -> None:
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    assert environment.software() == {
        "gbench_version": __version__,
        "python_version": platform.python_version(),
        "pytorch_version": str(torch.__version__),
        "torchvision_version": metadata.version("torchvision"),
        "cuda_version": torch.version.cuda,
        "cudnn_version": cudnn,
        "nccl_version": None,
        "executable": sys.executable,
        "packages_sha256": environment.packages_sha256(),
    }


def test_the_hardware_without_a_gpu() -> None:
    cpu = torch.device("cpu")
    assert environment.hardware(cpu) == {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpu": cpu_facts(),
        "memory_bytes": psutil.virtual_memory().total,
        "torch_threads": torch.get_num_threads(),
    }
    assert environment.device_name(cpu) == cpu_name()


def test_gpus_as_pytorch_describes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for what PyTorch says; the runs on fake GPUs ask PyTorch itself."""
    gpu = torch.device("cuda", 1)
    of_gpu = SimpleNamespace(name="GPU 9000", major=9, minor=0, total_memory=8 * 2**30, uuid="0a1b")
    without = SimpleNamespace(name="GPU 9000", major=9, minor=0, total_memory=8 * 2**30)
    answers = {
        "device_count": lambda: 2,
        "get_device_properties": lambda index: (of_gpu, without)[index],
        "get_device_name": lambda device: {gpu: "NVIDIA Tesla V100-PCIE-32GB"}[device],
        "max_memory_allocated": lambda device: {gpu: 11}[device],
        "max_memory_reserved": lambda device: {gpu: 22}[device],
        "is_available": lambda: True,
        "nccl": SimpleNamespace(version=lambda: (2, 26, 2)),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    common = {"name": "GPU 9000", "compute_capability": "9.0", "memory_bytes": 8 * 2**30}
    assert environment.hardware(gpu)["gpus"] == [
        {"index": 0, **common, "uuid": "0a1b"},
        {"index": 1, **common, "uuid": None},
    ]
    assert environment.device_name(gpu) == "V100-PCIE-32GB"
    memory = environment.memory(gpu)
    assert (memory["allocated_bytes"], memory["reserved_bytes"]) == (11, 22)
    assert environment._nccl_version() == "2.26.2"
