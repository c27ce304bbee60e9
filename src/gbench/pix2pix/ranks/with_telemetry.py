"""The telemetry sampler of a run: one process, started by rank 0."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from gbench.measure.telemetry.sampler_process import TelemetryProcess
from gbench.pix2pix.ranks.group import Ranks
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import MeasureConfig


@contextmanager
def run_sampler(config: MeasureConfig, folder: RunFolder, ranks: Ranks) -> Iterator[None]:
    """Sample devices and host in this context; every rank must enter it.

    Rank 0 starts the sampler and measures the idle power of the devices for `idle_seconds`; the other ranks wait.
    """
    if not config.telemetry_hz:
        yield
        return
    pids = ranks.gather(os.getpid())
    # as NVML names them
    gpus = ranks.gather(str(torch.cuda.get_device_properties(ranks.device).uuid)) if ranks.device.type == "cuda" else []
    cpus = None if ranks.binding is None else ranks.binding.allowed  # any core: not only those that rank 0 is bound to
    with ExitStack() as stack:
        if ranks.is_first:
            sampler = TelemetryProcess(folder.path, pids, gpus, config.telemetry_hz, cpus)
            stack.enter_context(sampler).measure_idle(config.idle_seconds)
        ranks.gather(None)
        yield
