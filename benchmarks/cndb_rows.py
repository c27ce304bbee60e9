"""Drawn rows of `train_results`, for benchmarks, of the size and variety of three years of a team's.

Rows, not records: to check and translate 100,000 records would take longer than all that is measured.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from hashlib import md5, sha256
from typing import Any

END = datetime.now(timezone.utc).replace(microsecond=0)
SPAN = timedelta(days=3 * 365)
MODELS = [
    *(f"pix2pix-{net}" for net in ("resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128")),
    "resnet50",
    "bert",
]
DEVICES = ["V100-PCIE-32GB", "A100-SXM4-40GB", "A100-SXM4-80GB", "H100-SXM5-80GB", "L40S", "A10", "T4", "MI300X"]
PRECISIONS = ["FP32", "TF32", "AMP", "BF16"]
DRIVERS = ["460.73.01", "470.129.06", "515.65.01", "535.104.05", "550.54.15"]
IMAGES = [f"gbench:pix2pix-{sha256(bytes([number])).hexdigest()[:12]}" for number in range(40)]
MACHINES = ["Ubuntu 18.04.5 LTS", "Ubuntu 20.04.6 LTS", "Ubuntu 22.04.4 LTS", "Debian GNU/Linux 12 (bookworm)"]
RARE_MODEL, RARE_DEVICE, RARE = "pix2pix-unet_512", "GH200-480GB", 5


def spread(draw: random.Random) -> dict[str, float]:
    """A figure of telemetry."""
    return {"min": draw.uniform(40, 50), "mean": draw.uniform(50, 60), "max": draw.uniform(60, 70)}


def performance(draw: random.Random, throughput: float, dev_num: int) -> dict[str, Any]:
    """perf_data of a run, as `gbench launch` writes it: about 2 kB, and 0.5 kB more a GPU."""
    half, step_s = draw.uniform(0.002, 0.02), 32 / throughput
    return {
        "throughput": throughput,
        "throughput_unit": "img/s",
        "throughput_interval": {
            "low": throughput * (1 - half),
            "high": throughput * (1 + half),
            "half_width_share": half,
            "block_length": draw.randint(4, 30),
            "effective_steps": draw.uniform(20, 400),
            "level": 0.95,
            "method": "prewhitened moving-block bootstrap, t-adjusted",
        },
        "steady_state": draw.random() < 0.95,
        "steady_state_reason": "the step times settled after the warm-up",
        "latency": step_s,
        "latency_unit": "s/step",
        "variance": (step_s * half) ** 2,
        "variance_unit": "s^2",
        "count": draw.randint(100, 2000),
        "complete": True,
        "ranks": dev_num,
        "warmup_steps": 20,
        "images": 32 * draw.randint(100, 2000),
        "wall_s": draw.uniform(30, 900),
        "throughput_without_data_img_s": throughput * draw.uniform(1.0, 1.2),
        "throughput_clean_img_s": throughput * draw.uniform(1.0, 1.02),
        "throughput_legacy_img_s": throughput * draw.uniform(0.9, 1.2),
        "step": {name: step_s * draw.uniform(0.9, 1.2) for name in ("mean_s", "median_s", "p5_s", "p95_s", "p99_s")},
        "data_share": draw.uniform(0, 0.2),
        "disturbance": {"steps": 58, "marked_share": draw.random(), "unobserved_share": 0.0, "share_by_reason": {}},
        "joules_per_image": draw.uniform(1, 20),
        "energy": {"joules": draw.uniform(1e4, 1e6), "source": "nvml counter", "idle_power_w": 55.1},
        "memory": [{"allocated_bytes": draw.randrange(10**10), "reserved_bytes": draw.randrange(10**10)}] * dev_num,
        "limits": {"flop_per_image": 383778816, "tflop_s": draw.uniform(1, 100), "verdict": "compute-bound"},
        "telemetry": {
            "gpus": [
                {key: spread(draw) for key in ("sm_mhz", "power_w", "temperature_c", "sm_percent")}
                for _ in range(dev_num)
            ],
            "host": {key: spread(draw) for key in ("cpu_percent", "cpu_busiest_percent", "cpu_mhz", "load_1m")},
            "sampler": {"asked_hz": 10.0, "reached_hz": 10.0, "samples": 126, "cpu_share": 0.0066},
        },
    }


def drawn(count: int) -> Iterator[dict[str, Any]]:
    """Rows of train_results, oldest first; one in ten as the original stored it, with its figure as text."""
    draw = random.Random(1)
    rare = draw.sample(range(count), 2 * RARE)
    for number in range(count):
        model, device = draw.randrange(len(MODELS)), draw.choice(DEVICES)
        if number in rare[:RARE]:
            model = len(MODELS)
        elif number in rare[RARE:]:
            device = RARE_DEVICE
        precision, dev_num, batch_size = (
            draw.choice(PRECISIONS),
            draw.choice([1, 1, 1, 4, 8]),
            draw.choice([32, 64, 128]),
        )
        software, hardware = draw.randrange(len(IMAGES)), draw.randrange(len(MACHINES))
        stored = END - SPAN * (1 - number / count)
        throughput = dev_num * draw.uniform(95, 105)
        driver = draw.choice(DRIVERS)
        name = f"{model} {device} {precision} {dev_num} {batch_size} {software} {hardware}"
        if draw.random() < 0.1:
            rest: dict[str, Any] = {
                "md5": driver,
                "performance": {"throughput": f"{throughput:.1f} img/s"},
                "metrics": {},
                "hyper_params": None,
                "cmd": None,
                "extra": {"Github": "N/A", "NV_Web": "N/A"},
            }
        else:
            command = f"gbench launch {model} {batch_size} {dev_num} {precision} " + "--set data.load_size=286 " * 10
            rest = {
                "md5": md5(name.encode()).hexdigest(),
                "performance": performance(draw, throughput, dev_num),
                "metrics": {loss: draw.random() for loss in ("G_GAN", "G_L1", "D_real", "D_fake")},
                "hyper_params": {**{f"setting_{place}": place / 7 for place in range(24)}, "seed": 0},
                "cmd": command,
                "extra": extra(f"{stored:%Y%m%dT%H%M%SZ}-{number:06d}", driver, stored, command),
            }
        yield {
            "framework": "PyTorch",
            "dataset": "facades",
            "batch_size": batch_size,
            "device": device,
            "dev_num": dev_num,
            "train_exec_mode": precision,
            "eval_exec_mode": "-",
            "dist_mode": "DDP" if dev_num > 1 else "Single",
            "code_link": "https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix/blob/003efc4c/models/networks.py",
            "tags": None,
            "visible": False,
            "create_at": stored,
            "update_at": stored,
            "model_id": model + 1,
            "soft_info_id": software + 1,
            "hard_info_id": hardware + 1,
            **rest,
        }


def log_lines(count: int) -> Iterator[str]:
    """Lines of a benchmark log, of many configurations."""
    draw = random.Random(2)
    for _ in range(count):
        model, device, precision = draw.choice(MODELS), draw.choice(DEVICES), draw.choice(PRECISIONS)
        dev_num = draw.choice([1, 4, 8])
        yield (
            f"network:{model}, batch size:{draw.choice([32, 64, 128])}, device count:{dev_num}, "
            f"dpf mode:{'DDP' if dev_num > 1 else 'Single'}, precision:{precision}, "
            f"throughput:{draw.uniform(20, 800):.4g} img/s, device:{device}, dataset:facades, nv_web_perf:N/A, "
            f"github_perf_data:N/A, driver:{draw.choice(DRIVERS)}"
        )


def extra(run_id: str, driver: str, stored: datetime, command: str) -> dict[str, Any]:
    """`extra` of a run, about 1 kB."""
    return {
        "Github": "N/A",
        "NV_Web": "N/A",
        "run_id": run_id,
        "recipe": "performance",
        "driver": driver,
        "command_line": command,
        "dataset_sha256": sha256(b"facades").hexdigest(),
        "content_sha256": sha256(run_id.encode()).hexdigest(),
        "git": {"commit": md5(run_id.encode()).hexdigest(), "dirty": False},
        "started_utc": (stored - timedelta(minutes=5)).isoformat(timespec="milliseconds"),
        "ended_utc": stored.isoformat(timespec="milliseconds"),
        "warnings": [],
        "record_schema": 1,
    }
