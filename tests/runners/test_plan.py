"""What each runner would start, whole: arguments, variables, the batch script."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gbench.base.paths import project_file
from gbench.runners.docker import INSIDE
from gbench.runners.local import LocalRunner
from gbench.runners.plan import script_environment
from gbench.runners.slurm import SlurmRunner
from gbench.settings.spec import RunSpec
from golden import check_golden

NODES = {"nodes": 2, "device_count": 4, "batch_size": 8}
GPUS = {"device": "cuda", "device_count": 2, "data_source": "cached"}
PLANS: dict[str, dict[str, Any]] = {
    "local": {},
    "local-gpus": {**GPUS, "cuda_visible_devices": "2,3", "env": {"A": "b c"}},
    "local-nodes": {**NODES, "node_rank": 1, "rdzv": "[::1]:29500"},
    "docker": {**GPUS, "runner": "docker", "cuda_visible_devices": "2,3"},
    "slurm": {**NODES, "runner": "slurm", "recipe": "convergence", "time": "1-12", "partition": "gpu"},
    "slurm-apptainer": {**GPUS, "runner": "slurm", "container": "apptainer", "image": "bench.sif"},
    "slurm-pyxis": {**GPUS, "runner": "slurm", "container": "pyxis", "image": "team#bench", "sbatch": ("--mem=0",)},
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan(
    name: str, make_spec: Callable[..., RunSpec], facades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setenv("PATH", "/bin")
    spec = make_spec(**PLANS[name]).replaced(run_id="RUN")
    if spec.runner == "slurm":
        text = SlurmRunner(spec).describe()["script"]
    elif spec.runner == "docker":
        text = json.dumps(script_environment(spec, INSIDE, None), indent=1)
    else:
        text = json.dumps(LocalRunner(spec, {}).describe(), indent=1)
    places = {tmp_path: "HERE", facades: "FACADES", sys.executable: "PYTHON", project_file("configs").parent: "PROJECT"}
    for place, written in places.items():
        text = text.replace(str(place), written)
    check_golden(f"plan-{name}.txt", text)
