"""The benchmark log line: how a run script of the GPU Golden Bench reports its result (CNDB, "benchmark log line").

network:pix2pix-resnet_9blocks, batch size:32, device count:1, dpf mode:Single, precision:FP32, throughput:22.9 img/s
"""

import re
from collections.abc import Mapping
from typing import Any

from gbench.base.whole import whole_number
from gbench.cndb.record import Record, impossible

NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(.*)")
NOT_FINITE = re.compile(r"[-+]?(nan|inf|infinity)\b", re.IGNORECASE)
LOSSES = ("G_GAN", "G_L1", "D_real", "D_fake")  # in the original's order; a record file sorts its keys
# key of the line -> key of the record; keys of mappings as SECTION.KEY
KEYS = {
    "network": "model",
    "batch size": "batch_size",
    "device count": "dev_num",
    "dpf mode": "dist_type",
    "precision": "train_type",
    "eval_exec_mode": "eval_type",
    "device": "dev",
    "dataset": "dataset",
    "fps": "perf_data.throughput",
    "time_avg": "perf_data.latency",
    "time_var": "perf_data.variance",
    "time_p95": "perf_data.step.p95_s",
    "without_data_img_s": "perf_data.throughput_without_data_img_s",
    "legacy_img_s": "perf_data.throughput_legacy_img_s",
    "data_share": "perf_data.data_share",
    "accuracy": "metric_data.accuracy",
    "nv_web_perf": "extra.NV_Web",
    "github_perf_data": "extra.Github",
    "driver": "extra.driver",
}


def is_benchmark_line(line: str) -> bool:
    return re.match(r"\s*network\s*:[^,]+,.*\bbatch size\s*:", line, re.IGNORECASE) is not None


def parse(line: str) -> dict[str, Any]:
    """Parse a line into record keys; figures become numbers, with their unit in `KEY_unit`. Raises ValueError."""
    values: dict[str, Any] = {}
    for part in line.strip().split(","):
        key, colon, text = (piece.strip() for piece in part.partition(":"))
        if not colon:
            raise ValueError(f"field {part.strip()!r} has no colon")
        place = "perf_data.throughput" if "throughput" in key.lower() else KEYS.get(key.lower())
        if place is None:
            continue  # not a field of CNDB; the original ignores it too
        if place in ("batch_size", "dev_num"):
            if (count := whole_number(text)) is None:
                raise ValueError(f"{key} {text!r} is not a whole number")
            values[place] = count
            continue
        section, dot, name = place.partition(".")
        if not dot:
            values[section] = text
            continue
        *folders, name = name.split(".")
        inner = values.setdefault(section, {})
        for folder in folders:
            inner = inner.setdefault(folder, {})
        number = NUMBER.fullmatch(text) if section == "perf_data" else None
        if section == "perf_data" and NOT_FINITE.match(text):
            raise ValueError(f"{key} {text!r} is not a finite number")
        inner[name] = float(number[1]) if number else text
        if isinstance(inner[name], float) and (why := impossible(place, inner[name])):
            raise ValueError(f"{key} {text!r} is {why}")
        if number and number[2]:
            inner[f"{name}_unit"] = number[2]
    return values


def format_line(record: Record) -> str:
    """The line that the original's run script would have written for this record."""
    perf, extra = record.perf_data or {}, record.extra or {}
    throughput = perf.get("throughput")
    shown = "N/A" if throughput is None else f"{throughput:.4g} {perf.get('throughput_unit', 'img/s')}"
    ours = {key: perf.get(KEYS[key].partition(".")[2]) for key in ("without_data_img_s", "legacy_img_s", "data_share")}
    accuracy = accuracy_of(record)
    fields = {
        "network": record.model,
        "batch size": record.batch_size,
        "device count": record.dev_num,
        "dpf mode": record.dist_type,
        "precision": record.train_type,
        "throughput": shown,
        **{key: f"{value:.4g}" for key, value in ours.items() if isinstance(value, int | float)},
        **({"accuracy": accuracy} if accuracy else {}),
        "device": record.dev.replace(",", " "),
        "dataset": record.dataset,
        "nv_web_perf": extra.get("NV_Web", "N/A"),
        "github_perf_data": extra.get("Github", "N/A"),
        "driver": extra.get("driver", "N/A"),
    }
    return ", ".join(f"{key}:{value}" for key, value in fields.items())


def accuracy_of(record: Record) -> str | None:
    """The original's result of a convergence run, as it wrote it: means over the last epoch's printed lines."""
    metrics = record.metric_data or {}
    of_convergence = isinstance(metrics.get("all_iterations"), dict)
    return accuracy_text({name: metrics.get(name) for name in LOSSES}) if of_convergence else None


def accuracy_text(means: Mapping[str, Any]) -> str:
    """Mean losses as the original wrote them: `G_GAN = 2.49475  G_L1 = 18.4075  D_real = 0.16925  D_fake = 0.20175`."""
    return "  ".join(f"{name} = {mean:.6g}" for name, mean in means.items() if isinstance(mean, int | float))
