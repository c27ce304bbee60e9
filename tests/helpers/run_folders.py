"""Run folders as a run writes them, made with the project's own classes and without training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gbench.measure.telemetry.samples import GpuSample, Header, HostSample, Sample
from gbench.measure.telemetry.stream import NAME, StreamWriter
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step, StepWriter
from gbench.runfolder.telemetry_result import GpuFacts
from gbench.settings.spec import RunSpec

# contents of a JSON file that is damaged
DAMAGED = (b"", b"null", b"[]", b'{"version": 1}', b"[" * 5000, b"\xff", b'{"version": 1, "x": "\\ud800"}', b"9" * 5000)
PRECISION = {
    "ran": "FP32",
    "output_dtype": "float32",
    "cuda_matmul_fp32_precision": "ieee",
    "cudnn_conv_fp32_precision": "ieee",
}
HOST = {
    "started_utc": "2026-01-02T03:04:05.678+00:00",
    "command_line": "",
    "where": {"runner": "docker", "image": "gbench:pix2pix-1a2b3c", "image_id": "sha256:feedface"},
    "hardware": {
        "os": "Debian 12",
        "cpu": {"name": "CPU 9000", "cores": 64},
        "mem": "376 GB",
        "gpus": [],
        "driver": None,
    },
    "dataset": {"root": "/data/facades", "sha256": "c0ffee"},
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "warnings": [],
}
ENVIRONMENT = {
    "device": "CPU 9000",
    "software": {"gbench_version": "0.1.0", "pytorch_version": "2.7.1", "cudnn_version": None},
    "hardware": {"cpu": {"name": "CPU 9000", "cores": 64}, "memory_bytes": 64 * 2**30},
    "peak": {"gemm_tflop_s": 0.1, "conv_tflop_s": 0.05, "copy_gb_s": 11.9487},
    "precision": PRECISION,
}


def fake_losses(step: int) -> dict[str, float]:
    return {"G_GAN": 0.7 + 0.01 * (step % 3), "G_L1": 40 - 0.1 * step, "D_real": 0.6, "D_fake": 0.65}


def write_run(
    spec: RunSpec,
    steps: int = 12,
    planned_steps: int = 12,
    warmup: int = 2,
    step_s: Callable[[int], float] = lambda step: 0.1,
    data_s: float = 0.02,
    losses: Callable[[int], dict[str, float]] = fake_losses,
    epoch: Callable[[int], int] = lambda step: 1,
    ended: bool = True,
    host: dict[str, Any] | None = None,
) -> RunFolder:
    """A run of `spec` that did `steps` of `planned_steps`, with an equal share of the batch on each rank."""
    folder = RunFolder.create(spec)
    complete = ended and steps == planned_steps
    ending = {"ended_utc": "2026-01-02T03:05:05.678+00:00", "exit_code": 0 if complete else 1} if ended else {}
    folder.write("host.json", {**HOST, "command_line": spec.command_line, **ending, **(host or {})})
    at_end = {"precision_at_end": PRECISION, "ended": {"steps": steps, "because": "all steps are done"}}
    folder.write("environment.json", {"planned_steps": planned_steps, **ENVIRONMENT, **(at_end if complete else {})})
    for rank in range(spec.world_size):
        end_s = 0.0
        with StepWriter(folder.path, rank) as writer:
            for step in range(1, steps + 1):
                end_s += step_s(step)
                writer.append(
                    [
                        Step(
                            step=step,
                            epoch=epoch(step),
                            images=spec.batch_per_device,
                            data_s=data_s,
                            step_s=step_s(step),
                            end_s=end_s,
                            ahead_s=0.0,
                            warmup=step <= warmup,
                            losses=losses(step),
                        )
                    ]
                )
    return folder


def write_telemetry(
    folder: RunFolder,
    until_s: float,
    gpus: int = 0,
    held_back: Callable[[float], bool] = lambda t_s: False,
    hz: float = 10.0,
) -> None:
    """A sampler's stream for `write_run`'s steps. held_back: when GPU 0 was at its power limit."""
    facts = [GpuFacts(str(gpu), index=gpu, name="GPU 9000") for gpu in range(gpus)]
    writer = StreamWriter(folder.path / NAME)
    writer.header(Header(hz, "2026-01-02T03:04:05.000+00:00", cpus=64, gpus=facts), [])
    for number in range(int(until_s * hz) + 1):
        t_s = number / hz
        held = held_back(t_s)
        seen = [
            GpuSample(
                power_w=300.0 + 5 * (number % 3) - gpu,
                utilisation_percent=97 + number % 3,
                memory_used_bytes=20 * 2**30,
                sm_mhz=1100 if held and gpu == 0 else 1410,
                temperature_c=60 + int(10 * t_s / until_s) + gpu,
                throttle_bits=4 if held and gpu == 0 else 0,
            )
            for gpu in range(gpus)
        ]
        slow = {"load_1m": 8.0, "cpu_percent": 12.5, "cpu_busiest_percent": 90.0, "steal_percent": 0.0, "run_cpus": 7.5}
        host = HostSample(rss_bytes=8 * 2**30, memory_used_bytes=30 * 2**30, **(slow if number % int(hz) == 0 else {}))
        writer.sample(Sample(t_s, 0.001, 0.001 * number, seen, host))
    writer.end("the run said stop", until_s)
    writer.close()
