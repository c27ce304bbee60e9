"""A rank's training with the telemetry sampler beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gbench.measure.telemetry.sampler_process import TelemetryProcess
from gbench.pix2pix.ranks.group import Ranks
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import MeasureConfig


@contextmanager
def watched(config: MeasureConfig, folder: RunFolder, ranks: Ranks) -> Iterator[None]:
    """Sample devices and host while in here; every rank must enter.

    Rank 0 starts the sampler and leaves the devices idle for a while, to learn what they draw then; the others wait.
    """
    if not config.telemetry_hz:
        yield
        return
    pids = ranks.gather(os.getpid())
    gpus = ranks.gather(_name(ranks.device)) if ranks.device.type == "cuda" else []
    if not ranks.is_first:
        ranks.gather(None)
        yield
        return
    cpus = None if ranks.binding is None else ranks.binding.allowed  # it need not share rank 0's cores
    with TelemetryProcess(folder.path, pids, gpus, config.telemetry_hz, cpus) as telemetry:
        telemetry.measure_idle(config.idle_seconds)
        ranks.gather(None)
        yield


def _name(device: torch.device) -> str:
    """What NVML knows a GPU by: its UUID, which torch tells from 2.5 on, else its index there, past those hidden."""
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return str(uuid or torch.cuda._get_nvml_device_index(device))
