"""What each runner would start, whole: arguments, variables, the batch script, the TrainJob."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gbench.base.paths import project_file
from gbench.runners.docker import INSIDE
from gbench.runners.kubernetes import KubernetesRunner
from gbench.runners.kubernetes_manifest import reader_pod
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
    "kubernetes": {
        **NODES,
        "runner": "kubernetes",
        "image": "bench:1",
        "claim": "data",
        "datasets_dir": None,
        "device": "cuda",
    },
    "slurm-apptainer": {**GPUS, "runner": "slurm", "container": "apptainer", "image": "bench.sif"},
    "slurm-pyxis": {**GPUS, "runner": "slurm", "container": "pyxis", "image": "team#bench", "sbatch": ("--mem=0",)},
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan(
    name: str, make_spec: Callable[..., RunSpec], facades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr("gbench.base.python.SAFE_PATH", ["-P"])  # none on Python 3.10
    monkeypatch.setattr("os.getuid", lambda: 1234)
    monkeypatch.setattr("os.getgid", lambda: 0)  # never root in a pod
    spec = make_spec(**PLANS[name]).replaced(run_id="RUN")
    if spec.runner == "slurm":
        text = SlurmRunner(spec).describe()["script"]
    elif spec.runner == "docker":
        text = json.dumps(script_environment(spec, INSIDE, None), indent=1)
    elif spec.runner == "kubernetes":
        text = json.dumps([with_named_files(KubernetesRunner(spec).describe(), spec), reader_pod(spec)], indent=1)
    else:
        text = json.dumps(LocalRunner(spec, {}).describe(), indent=1)
    places = {tmp_path: "HERE", facades: "FACADES", sys.executable: "PYTHON", project_file("configs").parent: "PROJECT"}
    for place, written in places.items():
        text = text.replace(str(place), written)
    check_golden(f"plan-{name}.txt", text)


def with_named_files(job: dict[str, Any], spec: RunSpec) -> dict[str, Any]:
    """A TrainJob with what differs in the pod's spec from that of this host, and the name of the script in it."""
    variables = {one["name"]: one for one in job["spec"]["trainer"]["env"]}
    there = json.loads(variables["GBENCH_SPEC"]["value"])
    here = spec.model_dump(mode="json")
    variables["GBENCH_SPEC"]["value"] = {key: there[key] for key in here if there[key] != here[key]}
    assert variables["GBENCH_RUN_SCRIPT"]["value"] == Path(spec.run_model_file).read_text()
    variables["GBENCH_RUN_SCRIPT"]["value"] = "the run script"
    return job
