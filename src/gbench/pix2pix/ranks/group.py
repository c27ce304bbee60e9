"""The processes of a run: one per device, connected by NCCL on GPUs and by gloo on CPUs."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from gbench.base.parent_death import die_with_parent
from gbench.errors import RunFailed, UsageError
from gbench.pix2pix.nets.without_compiler import DistributedDataParallel
from gbench.pix2pix.ranks.affinity import Binding, bind_rank
from gbench.pix2pix.ranks.heap import keep_freed_memory
from gbench.settings.literals import Device
from gbench.settings.model_config import SpeedConfig

JOIN_TIMEOUT = timedelta(minutes=10)
# Tensors on GPUs use NCCL. Python objects use gloo even there: a rank that waits in NCCL keeps its GPU busy, and GPUs
# must be idle while their idle power is measured.
BACKENDS = {"cuda": "cpu:gloo,cuda:nccl", "cpu": "gloo"}
# Every group in which this process has communicated, until the process ends. Up to torch 2.7 the destructor of a gloo
# group joins its thread while it holds the GIL, which that thread may need to free the last tensor it sent
# (pytorch/pytorch, pull request 154976).
KEPT_GROUPS: list[dist.ProcessGroup] = []


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run.

    binding: to CPU cores; None: not bound by `joined`. malloc: what `keep_freed_memory` set; None: nothing.
    per_node: ranks on each host; None: all are on this one.

    Keeps the process group, if there is one, until the process ends.
    """

    rank: int
    world_size: int
    device: torch.device
    binding: Binding | None = None
    malloc: dict[str, int] | None = None
    per_node: int | None = None

    def __post_init__(self) -> None:
        if dist.is_initialized():
            keep(dist.group.WORLD)

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints for all."""
        return self.rank == 0

    @property
    def on_this_node(self) -> slice:
        """The ranks of this host, in a list of all."""
        count = self.per_node or self.world_size
        first = self.rank // count * count
        return slice(first, first + count)

    @property
    def is_first_here(self) -> bool:
        """Whether this process acts for all on its host."""
        return bool(self.rank == self.on_this_node.start)

    def wrap(self, network: nn.Module, speed: SpeedConfig) -> nn.Module:
        """`network` on this rank's device; of several ranks, in DistributedDataParallel."""
        network = network.to(self.device)
        return self.wrap_ddp(network, speed) if self.world_size > 1 else network

    def wrap_ddp(self, network: nn.Module, speed: SpeedConfig) -> nn.parallel.DistributedDataParallel:
        """`network`, which is on this rank's device, in DistributedDataParallel.

        Buffers are not broadcast: batch norm's would change between D's two forward passes, which autograd refuses.
        Gradients are views of the buckets that are exchanged: the same bits, without a copy back.
        """
        kind = DistributedDataParallel if speed.compile == "none" else nn.parallel.DistributedDataParallel
        device_ids = [self.device] if self.device.type == "cuda" else None
        parameters = inspect.signature(nn.parallel.DistributedDataParallel).parameters
        switch = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
        options: dict[str, Any] = {switch: False}  # renamed in torch 2.14
        options |= {"gradient_as_bucket_view": True, "static_graph": speed.static_graph}
        return kind(network, device_ids=device_ids, **options)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all ranks; every rank must call it."""
        if self.world_size > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.world_size
        return values

    def new_group(self, timeout: timedelta) -> dist.ProcessGroup:
        """Another group of all ranks, for objects; every rank must call it."""
        group = dist.new_group(backend="gloo", timeout=timeout)
        return keep(group)

    def gather(self, value: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
        """`value` of every rank, in order; every rank must call it. Uses no GPU. group: another one of all ranks."""
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group)
        return values


def keep(group: object) -> dist.ProcessGroup:
    """`group`, of all ranks, which no destructor ends from now on (see KEPT_GROUPS)."""
    assert isinstance(group, dist.ProcessGroup), "this rank is in it"
    if group not in KEPT_GROUPS:
        KEPT_GROUPS.append(group)
    return group


@contextmanager
def joined(device: Device, expected: int, pin: bool = False, threads: int | None = None) -> Iterator[Ranks]:
    """Join the process group that the variables of torchrun describe; leave it unless an exception ends it.

    pin, threads: as for `bind_rank`.

    Raises:
        UsageError: a variable is missing, or the number of processes differs from the spec's.
        RunFailed: fewer GPUs than processes, or this process's GPU is unusable.
    """
    try:
        rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        per_node = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE don't number this process ({error})",
            "start it by gbench launch",
        ) from error
    if world != expected:
        raise UsageError(f"{world} processes were started, the spec says {expected}", "give both the same number")
    if device == "cuda" and torch.cuda.device_count() <= local:
        raise RunFailed(
            f"--device cuda: this process needs GPU {local}, torch sees {torch.cuda.device_count()}",
            "look at `gbench check`, ask for fewer devices, or pass --device cpu",
        )
    here = torch.device("cuda", local) if device == "cuda" else torch.device("cpu")
    if here.type == "cuda":
        select_gpu(here)
    die_with_parent()  # torchrun's signals don't reach a rank's own session
    # before any thread that computes, communicates or loads is started
    binding = bind_rank(here, local, per_node, pin, threads)
    malloc = keep_freed_memory() if here.type == "cpu" else None
    device_id = here if here.type == "cuda" else None
    dist.init_process_group(BACKENDS[device], timeout=JOIN_TIMEOUT, device_id=device_id)
    try:
        yield Ranks(rank, world, here, binding, malloc, per_node)
    except BaseException:
        # NCCL would wait here for all ranks, which wait for this one: the end of the process ends it
        if here.type != "cuda":
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def select_gpu(gpu: torch.device) -> None:
    """Select the GPU of this process. Raises RunFailed: CUDA doesn't start on it, or this torch has no code for it."""
    try:
        torch.cuda.set_device(gpu)
        capability = torch.cuda.get_device_capability(gpu)
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        raise RunFailed(
            f"--device cuda: CUDA does not start on GPU {gpu.index} ({first})",
            "look at `nvidia-smi` and `gbench check`",
        ) from error
    code = torch.cuda.get_arch_list()
    if code and not any(runs_on(capability, one) for one in code):
        raise RunFailed(
            f"torch {torch.__version__} has no code for {torch.cuda.get_device_name(gpu)}, of compute capability "
            f"{capability[0]}.{capability[1]}: it is built for {', '.join(code)}",
            "install a torch that is (for a V100 one of CUDA 12.6), or run in the project's image: --runner docker",
        )


def runs_on(capability: tuple[int, int], code: str) -> bool:
    """Whether a GPU runs code of an nvcc target: `sm_86` on its generation from 8.6 on, `compute_90`, compiled at load
    time, on all from 9.0 on."""
    target = re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", code)
    if target is None:
        return True  # an unknown target: assume that it runs
    made_for = int(target[2]), int(target[3])
    return made_for <= capability and (target[1] == "compute" or made_for[0] == capability[0])
