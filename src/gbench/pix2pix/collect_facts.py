"""Collect facts for environment.json: software, hardware, speed of the device."""

from typing import Any

import torch

from gbench.measure import environment
from gbench.measure.peak import measure_peak
from gbench.pix2pix.ranks.affinity import read_back
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.ranks.out_of_memory import out_of_memory
from gbench.pix2pix.step import precision
from gbench.pix2pix.step.count_ops import main_convolution
from gbench.runfolder.environment_facts import PeakFacts
from gbench.settings.spec import RunSpec


def collect_facts(spec: RunSpec, ranks: Ranks) -> dict[str, Any]:
    """The facts known before the first step. Every rank must call it; all measure their peak at the same time."""
    facts: dict[str, Any] = {
        "device": environment.device_name(ranks.device),
        "profile": spec.profile,
        "speed": spec.config.speed.on,
        "ddp": ranks.world_size > 1,
        "bucket_views": ranks.world_size > 1,
        "malloc": ranks.malloc,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "hardware": environment.hardware(ranks.device),
        "rank": ranks.gather(ranks.binding and read_back(ranks.binding)),
    }
    if spec.nodes > 1:
        own = {"torch": torch.__version__, "device": facts["device"], **facts["hardware"]}
        facts["nodes"] = ranks.gather(own)[:: ranks.per_node]
    if spec.config.measure.peak_seconds:
        facts["peak"] = _peak(spec, ranks.device)
    return facts


def peak_after(spec: RunSpec, device: torch.device) -> dict[str, PeakFacts]:
    """A GPU's peak after the last step, as a fact; none where a GPU has no memory left for it."""
    if device.type != "cuda" or not spec.config.measure.peak_seconds:
        return {}
    torch.cuda.empty_cache()
    try:
        return {"peak_after": _peak(spec, device)}
    except Exception as error:
        if out_of_memory(error, device) is None:
            raise
        return {}


def _peak(spec: RunSpec, device: torch.device) -> PeakFacts:
    dtype = precision.AUTOCAST[spec.precision] or torch.float32
    peak = measure_peak(device, dtype, main_convolution(spec), spec.config.measure.peak_seconds)
    if device.type == "cuda":  # keep it out of the memory peaks of the training
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return peak
