"""What a user gets when a GPU fails: the sentence and the exit code. The faults are in faults.h."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Answer, two_ranks

from gbench.errors import ExitCode
from gbench.runfolder.folder import RunFolder
from on_fake_gpu import Mark, read_logs

OnGpu = Callable[..., Answer]
CAPTURED = {"settings": "speed.cuda_graph=true", "fault": "capture:0:500"}


def launch(on_gpu: OnGpu, *options: object, ranks: int = 1, **changes: Any) -> Answer:
    where = ("pix2pix_resnet_9blocks", 4 * ranks, ranks, "FP32", "false", "ignore_check")
    return on_gpu("launch", *where, "--steps", 12, "--warmup", 2, *options, count=ranks, **changes)


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        (
            {"fault": "out-of-memory:0:3"},
            ExitCode.FAILED,
            "cuda:0 is out of memory with 4 images per device, for which a rank needs about 0.606 GiB; take a smaller",
        ),
        (
            {"fault": "ecc:0:9000"},
            ExitCode.INFRASTRUCTURE,
            "CUDA error: uncorrectable ECC error encountered); look for Xid errors in `dmesg`",
        ),
        (
            CAPTURED,
            ExitCode.FAILED,
            "the step can't be captured (CUDA error: operation not permitted when stream is capturing); leave the",
        ),
        (
            {"driver_cuda": 11080},
            ExitCode.FAILED,
            "--device cuda: CUDA does not start on GPU 0 (The NVIDIA driver on your system is too old",
        ),
    ],
    ids=["out of memory", "ecc", "capture", "driver"],
)
def test_a_failure_is_one_sentence(on_gpu: OnGpu, fault: dict[str, Any], code: int, sentence: str) -> None:
    answer = launch(on_gpu, **fault)
    last = answer.err.splitlines()[-1]
    assert answer.code == code, answer.err
    assert last.startswith("gbench: error: ") and sentence in last
    assert "Traceback" not in answer.err


@two_ranks
@pytest.mark.parametrize(
    ("settings", "kernels", "captures"),
    [("", 9000, 0), ("speed.cuda_graph=true", 22_000, 2)],
    ids=["step by step", "in a replay"],
)
def test_a_lost_gpu_ends_the_run_of_all_ranks(
    on_gpu: OnGpu, tmp_path: Path, settings: str, kernels: int, captures: int
) -> None:
    answer = launch(on_gpu, "--steps", 40, ranks=2, fault=f"lost:1:{kernels}", settings=settings)
    assert answer.code == ExitCode.INFRASTRUCTURE, answer.err
    assert "a GPU failed during the run (" in answer.err.splitlines()[-1]
    # as the kernel that was next reports it: one of torch, or a product of cuBLAS
    assert re.search("CUDA error: (unknown error|CUBLAS_STATUS_EXECUTION_FAILED)", answer.err.splitlines()[-1])
    (run,) = (tmp_path / "results").iterdir()
    assert 1 <= len(RunFolder(run).steps(0)) < 40  # what was read before is kept
    assert len([line for line in read_logs(tmp_path / "fake")[1] if line.startswith("capture ")]) == captures


def test_throttled_steps_are_marked(on_gpu: OnGpu) -> None:
    answer = launch(on_gpu, "--json", fault="throttled:0:0")
    assert answer.code == 0, answer.err
    disturbance = answer.json["record"]["perf_data"]["disturbance"]
    assert disturbance["marked_share"] == 1
    assert disturbance["share_by_reason"] == {"gpu 0: hw_thermal_slowdown": 1}


@two_ranks
def test_ranks_wait_for_one_that_lags(on_gpu: OnGpu, tmp_path: Path) -> None:
    """In each step, as gradients are averaged: both take as long, and rank 0's GPU stands still most of the time."""
    answer = launch(on_gpu, "--steps", 6, ranks=2, kernel_ns=20_000, fault="slow:1:10")
    assert answer.code == 0, answer.err
    (run,) = (tmp_path / "results").iterdir()
    times = [sum(step.step_s for step in RunFolder(run).steps(rank)[2:]) for rank in range(2)]
    assert times[0] == pytest.approx(times[1], rel=0.05)
    logs, _ = read_logs(tmp_path / "fake")
    shares = []
    for events in logs.values():
        first, *_, last = (event for event in events if isinstance(event, Mark))
        shares.append((last.busy_ns - first.busy_ns) / (last.at_ns - first.at_ns))
    assert min(shares) < max(shares) / 3
