"""Tables of possible causes of a difference between runs: their place in a record, and what they can affect."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class Influence(IntEnum):
    """Sort order of differences, the most likely cause first."""

    WORK = 1  # the work differed, so the figures are not comparable
    MEASURED = 2  # measured influence of at least TELLING
    SOFTWARE = 3  # the software that does the arithmetic
    HOST = 4  # everything around it
    MINOR = 5  # measured influence below TELLING


@dataclass(frozen=True)
class Quantity:
    title: str
    path: tuple[str, ...]
    show: str
    """Format and unit."""
    share: Callable[[float, float], float] | None = None
    """From its values in BASE and NEW, the share of throughput that they explain; None if that can't be computed."""
    why: str = ""
    least: float = 0.0
    """Without `share`: the smallest change that is reported."""


def _lost(base: float, new: float) -> float:
    """Relative change of throughput if the share of idle time changes from `base` to `new`."""
    return max(1 - new, 1e-6) / max(1 - base, 1e-6) - 1


def _in_proportion(base: float, new: float) -> float:
    return new / base - 1 if base > 0 and new > 0 else 0.0


GPUS, HOST = ("perf_data", "telemetry", "gpus"), ("perf_data", "telemetry", "host")
SM_CLOCK = (*GPUS, "sm_mhz", "mean")
QUANTITIES = (
    Quantity("data wait", ("perf_data", "data_share"), ".1%", _lost, "the loader kept the device waiting"),
    Quantity("time between steps", ("perf_data", "between_share"), ".1%", _lost, "readings, log lines and checkpoints"),
    Quantity("GPU clock", SM_CLOCK, ".0f MHz", _in_proportion, "at most, where the GPU is the limit"),
    Quantity("memory clock", (*GPUS, "memory_mhz", "mean"), ".0f MHz", _in_proportion, "at most, where memory is"),
    Quantity("CPU clock", (*HOST, "cpu_mhz", "mean"), ".0f MHz", _in_proportion, "at most, where the CPU is the limit"),
    Quantity(
        "CPU time taken by other virtual machines",
        (*HOST, "steal_percent", "mean"),
        ".1f %",
        lambda base, new: _lost(base / 100, new / 100),
        "at most, where the CPU is the limit",
    ),
    Quantity("CPUs kept busy by other processes", (*HOST, "other_cpus"), ".2f", least=0.25),
    Quantity("GPU temperature", (*GPUS, "temperature_c", "mean"), ".0f °C", least=5.0),
    Quantity("GPU power", (*GPUS, "power_w", "mean"), ".0f W", least=10.0),
    Quantity("PCIe generation", (*GPUS, "pcie_generation"), ".3g", least=0.5),
    Quantity("PCIe width", (*GPUS, "pcie_width"), ".3g", least=0.5),
    Quantity("load of the host", (*HOST, "load_1m", "mean"), ".1f", least=1.0),
)
VARIABLES = "variables given with --env"
# Facts: title, path, what they can affect, and why
FACTS: tuple[tuple[str, tuple[str, ...], Influence, str], ...] = (
    ("switches of precision", ("extra", "precision_flags"), Influence.WORK, "they decide the arithmetic"),
    (VARIABLES, ("extra", "env"), Influence.SOFTWARE, "they switch what libraries do"),
    ("image id", ("soft_info", "image_id"), Influence.SOFTWARE, "all software but the driver is in it"),
    ("PyTorch", ("soft_info", "pytorch_version"), Influence.SOFTWARE, "kernels, allocator and loader are its own"),
    ("cuDNN", ("soft_info", "cudnn_version"), Influence.SOFTWARE, "it chooses and computes the convolutions"),
    ("CUDA", ("soft_info", "cuda_version"), Influence.SOFTWARE, "compiler and libraries of all kernels"),
    ("NCCL", ("soft_info", "nccl_version"), Influence.SOFTWARE, "it sums the gradients of several GPUs"),
    ("driver", ("extra", "driver"), Influence.SOFTWARE, "it compiles and launches kernels, and sets the clocks"),
    ("DistributedDataParallel", ("extra", "ddp"), Influence.SOFTWARE, "it copies the gradients"),
    ("views of buckets", ("extra", "bucket_views"), Influence.SOFTWARE, "they save a copy of the gradients"),
    ("malloc", ("extra", "malloc"), Influence.SOFTWARE, "whether a step gets its memory from the kernel"),
    ("gbench's commit", ("extra", "git", "commit"), Influence.SOFTWARE, "the training loop and what times it"),
    ("uncommitted changes", ("extra", "git", "dirty"), Influence.SOFTWARE, "the commit does not say all"),
    ("gbench", ("soft_info", "gbench_version"), Influence.SOFTWARE, "the training loop and what times it"),
    ("code link", ("code_link",), Influence.SOFTWARE, "the model's code"),
    ("torchvision", ("soft_info", "torchvision_version"), Influence.SOFTWARE, "it decodes and augments"),
    ("installed packages", ("soft_info", "packages_sha256"), Influence.SOFTWARE, "some package's version"),
    ("Python", ("soft_info", "python_version"), Influence.HOST, "it runs the loader and launches the work"),
    ("kernel", ("extra", "kernel"), Influence.HOST, "scheduler, page cache and mitigations"),
    ("operating system", ("hard_info", "name"), Influence.HOST, "kernel and libraries of the host"),
    ("GPUs of the run", ("extra", "machine", "gpus"), Influence.HOST, "cards of one type differ in clocks and cooling"),
    ("processor", ("hard_info", "cpu"), Influence.HOST, "it decodes the images and launches the work"),
    ("memory of the host", ("hard_info", "mem"), Influence.HOST, "it caches the dataset"),
    ("GPUs of the host", ("hard_info", "dev"), Influence.HOST, "they share power, cooling and links"),
    ("cores and threads", ("extra", "rank"), Influence.HOST, "what a rank computes with, or what it competes for"),
    ("warnings", ("extra", "warnings"), Influence.HOST, "the run itself said so"),
)
