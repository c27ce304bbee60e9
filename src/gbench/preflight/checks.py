"""Is this machine fit to launch on? Each check says what it found and how to mend it; none of them changes anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from gbench.datasets.layout import find_dataset, phases_in
from gbench.datasets.manifest import MANIFEST_NAME, require_intact
from gbench.errors import GbenchError
from gbench.preflight.devices import Gpus

LEAST_FREE_GIB = 20.0  # an image with CUDA and torch takes 6 to 10 GiB, and its build as much again

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Check:
    """One line of the answer. mend: what to do; empty when nothing is to be done."""

    id: str
    severity: Severity
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Wanted:
    """What the machine is to be fit for."""

    device: str
    runner: str
    dataset: str
    datasets_dir: Path
    results_dir: Path


def run_checks(wanted: Wanted, gpus: Gpus) -> Iterator[Check]:
    """All checks that matter for what is wanted, one at a time as they are done."""
    if wanted.runner == "docker":
        from gbench.runners.engine import docker_status, gpu_container_status

        engine = docker_status()
        yield Check("docker", "ok" if engine.ok else "error", engine.text, engine.hint)
        if engine.ok and wanted.device == "cuda":
            toolkit = gpu_container_status()
            yield Check("container-toolkit", "ok" if toolkit.ok else "error", toolkit.text, toolkit.hint)
    else:
        yield _torch()
    if wanted.device == "cuda":
        yield _gpu(gpus)
    yield _dataset(wanted)
    yield _disk(wanted.results_dir)


def _torch() -> Check:
    try:
        return Check("torch", "ok", f"torch {metadata.version('torch')} in this Python environment")
    except metadata.PackageNotFoundError:
        return Check(
            "torch", "error", "torch is not installed in this Python environment", "pip install torch torchvision"
        )


def _gpu(gpus: Gpus) -> Check:
    if gpus.missing:
        return Check("gpu", "error", gpus.missing, "install the NVIDIA driver, or use --device cpu")
    names = ", ".join(f"{gpu.index}: {gpu.name}" for gpu in gpus.devices)
    return Check("gpu", "ok", f"{names}; driver {gpus.driver}")


def _dataset(wanted: Wanted) -> Check:
    phase = next(iter(phases_in(wanted.datasets_dir / wanted.dataset) or phases_in(wanted.datasets_dir)), "train")
    try:
        root = wanted.datasets_dir / find_dataset(wanted.datasets_dir, wanted.dataset, phase)
        if not (root / MANIFEST_NAME).exists():
            return Check(
                "dataset", "warning", f"{root} has no {MANIFEST_NAME} to verify it against", "gbench data prepare"
            )
        manifest = require_intact(root)
    except GbenchError as error:
        return Check("dataset", "error", error.what, error.hint)
    counts = ", ".join(f"{count} {phase}" for phase, count in manifest.counts.items())
    return Check("dataset", "ok", f"{root}: {counts}, as its manifest says")


def _disk(folder: Path) -> Check:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free_gib = shutil.disk_usage(there).free / 1024**3
    found = f"{free_gib:.1f} GiB free for {folder}"
    if free_gib >= LEAST_FREE_GIB:
        return Check("disk", "ok", found)
    return Check("disk", "warning", found, f"free some: an image and its runs want {LEAST_FREE_GIB:.0f} GiB")
