"""How much memory a rank of a run will need on its device, before it starts."""

import math

from gbench.base.size import GIB
from gbench.pix2pix.step.count_ops import memory_of_step
from gbench.preflight.memory import counted
from gbench.settings.spec import RunSpec

MARGIN = 1.04  # times the counted peaks: torch's allocator took up to 3 % more (docs/memory.md)
CONTEXT_GIB = 0.6  # CUDA with its kernels, cuBLAS and cuDNN, as nvidia-smi shows it; assumed
NCCL_GIB = 0.4  # buffers between ranks; assumed
CPU_RANK_GIB = 0.3  # a process on the CPU, without what it shares with the other ranks
CPU_SHARE = 1.75  # resident for each byte in use: oneDNN's copies, and what malloc keeps; 1.5 to 1.7 measured

_counted: dict[tuple[object, ...], tuple[float, float]] = {}


def peaks(spec: RunSpec) -> tuple[float, float]:
    """Bytes that a rank's steps will have allocated and reserved at their peaks, at least; its own on the CPU."""
    config, batch = spec.config, spec.batch_per_device
    of_networks = (config.network, config.data.crop_size, spec.deterministic, config.speed.adam)
    key = (*of_networks, batch, spec.precision, spec.device)
    if key not in _counted:
        try:
            _counted[key] = memory_of_step(spec)
        except (RuntimeError, OverflowError):  # a size beyond 2^63
            _counted[key] = (math.inf, math.inf)
    allocated, reserved = _counted[key]
    return MARGIN * allocated, MARGIN * reserved


def rank_gib(spec: RunSpec) -> float | None:
    """GiB that a rank needs: of its GPU's memory, or of the host's for a rank on the CPU.

    None: it can't be counted. Infinite: torch can't count that far.
    """
    if not counted(spec):
        return None
    allocated, reserved = peaks(spec)
    if spec.device == "cpu":
        return CPU_RANK_GIB + CPU_SHARE / MARGIN * allocated / GIB
    return reserved / GIB + CONTEXT_GIB + (NCCL_GIB if spec.world_size > 1 else 0)
