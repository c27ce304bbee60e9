"""Measure all-reduce in a group of ranks, by gloo on CPUs and by NCCL on GPUs.

Bandwidths are as nccl-tests define them (NVIDIA/nccl-tests, doc/PERFORMANCE.md): the algorithm's is the size over the
time, the bus's is that times 2 (n - 1) / n for n ranks, which is the speed of the slowest link whatever n is.
"""

import statistics
import time
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist

from gbench.errors import InfrastructureError
from gbench.measure.clock import Marks, marks_for
from gbench.runfolder.environment_facts import AllReduceFacts

LATENCY_BYTES = 4  # one number: its time is the latency
MOST = 20  # repetitions of a size
POLL_S = 0.0005


def measure_all_reduce(
    sizes: Iterable[int],
    device: torch.device,
    seconds: float,
    deadline_s: float,
    group: dist.ProcessGroup | None = None,
) -> list[AllReduceFacts]:
    """Time the all-reduce of each size in bytes; every rank of the group must call it with the same arguments.

    A repetition takes as long as on the slowest rank. Ranks leave one together, and so begin the next. Random states
    stay as they are.

    Args:
        device: of this rank. group: None: all ranks.
        seconds: for all sizes together. Each is repeated at least once and MOST times at most.
        deadline_s: for one all-reduce.

    Raises InfrastructureError: one failed, or did not end by its deadline.
    """
    marks, wanted = marks_for(device), sorted(set(sizes))
    return [_measure(size, device, seconds / len(wanted), deadline_s, group, marks) for size in wanted]


def _measure(
    size: int, device: torch.device, seconds: float, deadline_s: float, group: dist.ProcessGroup | None, marks: Marks
) -> AllReduceFacts:
    ranks = dist.get_world_size(group)
    values = torch.zeros(max(1, size // 4), dtype=torch.float32, device=device)

    def slowest(times: list[float]) -> list[float]:
        shared = torch.tensor(times, dtype=torch.float64, device=device)
        _reduce(shared, marks, deadline_s, group, dist.ReduceOp.MAX)
        return [float(one) for one in shared]

    def repeat(count: int) -> list[float]:
        return slowest([_reduce(values, marks, deadline_s, group) for _ in range(count)])

    first = repeat(2)  # connects the ranks, then tells how many repetitions there is time for
    times = repeat(min(MOST, int(seconds / first[1]))) if seconds >= first[1] else first[1:]
    median_s, moved = statistics.median(times), 4 * values.numel()
    return AllReduceFacts(
        bytes=moved,
        repetitions=len(times),
        median_s=median_s,
        fastest_s=min(times),
        slowest_s=max(times),
        algorithm_gb_s=moved / median_s / 1e9,
        bus_gb_s=moved / median_s / 1e9 * 2 * (ranks - 1) / ranks,
    )


def _reduce(
    values: torch.Tensor,
    marks: Marks,
    deadline_s: float,
    group: dist.ProcessGroup | None,
    operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM,
) -> float:
    """Reduce in place, and return its seconds on this rank. Raises InfrastructureError."""
    begin = marks.mark()
    until = time.monotonic() + deadline_s
    try:
        work = dist.all_reduce(values, operation, group, async_op=True)
        assert work is not None, "async_op"
        if values.device.type == "cpu":
            work.wait(timedelta(seconds=deadline_s))
        else:
            work.wait()  # only the GPU's stream waits; with a time-out the host would, and look every ms
        end = marks.mark()
        while values.device.type == "cuda" and not end.query():
            if time.monotonic() > until:
                raise RuntimeError("it goes on")
            time.sleep(POLL_S)
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        raise InfrastructureError(
            f"an all-reduce of {values.nbytes:,} bytes did not end within {deadline_s:g} s ({first})"
            if time.monotonic() >= until
            else f"an all-reduce of {values.nbytes:,} bytes failed ({first})",
            "look at the network between the ranks: `gbench check`, docs/multi-node.md",
        ) from error
    return marks.between(begin, end)
