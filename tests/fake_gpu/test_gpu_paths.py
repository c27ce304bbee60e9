"""Every verb, precision, source of data and switch on fake GPUs, several in one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Answer, two_ranks

from gbench.errors import ExitCode
from gbench.pix2pix.step.build_model import build_networks
from gbench.runfolder.folder import RunFolder
from on_fake_gpu import read_logs

OnGpu = Callable[..., Answer]
MODEL = "pix2pix_resnet_9blocks"
DDP = "data.workers=1,speed.gradient_as_bucket_view=true,speed.static_graph=true,speed.cuda_graph=true"

# ranks, precision, data, options, settings
LAUNCHES = [
    pytest.param(2, "FP32", "real", (), DDP, marks=two_ranks, id="two, FP32, real, graph, DDP switches"),
    pytest.param(2, "TF32", "cached", ("--deterministic",), "", marks=two_ranks, id="two, TF32, cached, deterministic"),
    pytest.param(2, "AMP", "resident", (), "speed.adam=fused", marks=two_ranks, id="two, AMP, resident, fused"),
    pytest.param(8, "BF16", "synthetic", (), "", marks=two_ranks, id="eight, BF16, synthetic"),
    pytest.param(1, "BF16", "resident", (), "speed.cuda_graph=true,speed.channels_last=true", id="one, BF16, graph"),
    pytest.param(1, "FP32", "synthetic", (), "speed.compile=blocks,speed.adam=foreach", id="one, FP32, compiled"),
]


def refused(tmp_path: Path) -> list[str]:
    """The calls that the fake GPUs refused, as real ones would."""
    return [line for line in read_logs(tmp_path / "fake")[1] if line.startswith("refused")]


@pytest.mark.parametrize(("ranks", "precision", "data", "options", "settings"), LAUNCHES)
def test_launch(
    on_gpu: OnGpu, tmp_path: Path, ranks: int, precision: str, data: str, options: tuple[str, ...], settings: str
) -> None:
    what = (MODEL, 2 * ranks, ranks, precision, "false", "ignore_check")
    few = ("--steps", 14 if settings == DDP else 6, "--warmup", 1, "--data", data, "--json")
    answer = on_gpu("launch", *what, *few, *options, count=ranks, settings=settings)
    assert answer.code == 0, answer.err
    record: dict[str, Any] = answer.json["record"]
    assert record["dev"] == "Fake GPU (figures mean nothing)"
    assert (record["train_type"], record["perf_data"]["data_source"]) == (precision, data)
    assert len(record["perf_data"]["memory"]) == ranks
    assert all(rank["allocated_bytes"] > 0 for rank in record["perf_data"]["memory"])
    _, others = read_logs(tmp_path / "fake")
    joined = [line for line in others if line.startswith("nccl rank")]
    assert sorted(joined) == [f"nccl rank {rank} of {ranks} on GPU {rank}" for rank in range(ranks)]
    captures = [line for line in others if line.startswith("capture ")]
    assert len(captures) == ("speed.cuda_graph=true" in settings) * ranks
    assert refused(tmp_path) == []
    if settings == DDP:
        check_exchange(tmp_path, others)


def check_exchange(folder: Path, log: list[str]) -> None:
    """Each rank has captured the same exchange: all gradients of D, then all of G."""
    (run,) = (folder / "results").iterdir()
    generator, discriminator = build_networks(RunFolder(run).spec())
    sizes = [sum(weights.numel() for weights in net.parameters()) for net in (discriminator, generator)]
    for rank in range(2):
        captured = [line for line in log if line.startswith("captured") and line.endswith(f"rank {rank}")]
        assert captured == [f"captured sum of {size} on rank {rank}" for size in sizes]
    assert len(RunFolder(run).steps(1)) == 14


@two_ranks
def test_converge_and_eval(on_gpu: OnGpu, tmp_path: Path) -> None:
    """A convergence run ends with an evaluation; then another one of its checkpoint, on a GPU chosen by UUID."""
    epochs = "schedule.epochs=1,schedule.epochs_decay=1"
    answer = on_gpu("converge", MODEL, 4, 2, "BF16", "false", "ignore_check", count=2, settings=epochs)
    assert answer.code == 0, answer.err
    assert "MAE" in answer.out and "whole job" in answer.out
    (run,) = (tmp_path / "results").iterdir()
    answer = on_gpu("eval", run, "--gpus", "1", bare=True, count=2)
    assert answer.code == 0, answer.err
    assert "PSNR" in answer.out
    assert refused(tmp_path) == []


@two_ranks
def test_tune_tries_every_switch(on_gpu: OnGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiler, which a launch above runs: it would take a minute."""
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")
    answer = on_gpu("tune", MODEL, 4, 2, "BF16", "--max-time", "2s", "--json", count=2)
    assert answer.code == 0, answer.err
    trials = answer.json["tuning"]["trials"]
    tried = {name for trial in trials for name in trial["change"]}
    assert tried == {"channels_last", "adam", "compile", "static_graph", "cuda_graph"}
    assert not [trial["why"] for trial in trials if "failed" in trial["why"]]
    assert refused(tmp_path) == []


def test_a_profile_says_that_there_is_no_cupti(on_gpu: OnGpu, tmp_path: Path) -> None:
    answer = on_gpu("profile", MODEL, 2, 1, "FP32")
    assert answer.code == ExitCode.INFRASTRUCTURE
    assert "holds no kernel: NVIDIA's tracing library (CUPTI) gave torch.profiler nothing" in answer.err
    assert refused(tmp_path) == []
