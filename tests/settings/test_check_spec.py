"""Every word of what is wrong with a request, and every value of one that is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gbench.base.paths import project_file
from gbench.errors import GbenchError
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from golden import check_golden

SLURM = {"runner": "slurm", "device": "cuda"}
DOCKER_FILES = {"FROM scratch\n": "Dockerfile", "echo $TORCHRUN\r\n": "windows.sh"}
REFUSED: list[dict[str, Any]] = [
    {"model": "pix2pix_resnet_9block"},
    {"model": "resnet"},
    {"precision": "FP16"},
    {"precision": "FP8"},
    {"precision": "TF32"},
    {"device": "tpu"},
    {"runner": "podman"},
    {"recipe": "evaluation"},
    {"batch_size": 3},
    {"batch_size": 1},
    {"cuda_visible_devices": "0"},
    {"network": "host", "runner": "local"},
    {"env": {"RUN_DIR": "x"}},
    {"env": {"1A": "x"}},
    {"env": {"A": "a\0b"}},
    {"config_dir": "empty"},
    {"config_dir": "nowhere"},
    {"code_link": "https://example.org/main"},
    {"code_link": "https://me:secret@example.org/code/blob/0123abc/x.py"},
    {"dockerfile": "nowhere"},
    {"run_model_file": "nowhere"},
    {"run_model_file": "windows.sh"},
    {"steps": 5, "warmup": 5},
    {"steps": 5, "warmup": 5, "device": "cuda", "settings": ("speed.cuda_graph=true",)},
    {"steps": 12, "device": "cuda", "settings": ("speed.cuda_graph=true",)},
    {"warmup": 9, "settings": ("schedule.max_warmup_steps=8",)},
    {"until_ci": 0.01},
    {"stop_on": ("nan",)},
    {"recipe": "convergence", "stop_on": ("collapse",), "settings": ("optim.gan_mode=wgangp",)},
    {"recipe": "convergence", "data_source": "synthetic"},
    {"settings": ("data.crop_size=300",)},
    {"settings": ("data.crop_size=16",)},
    {"settings": ("data.crop_size=50", "network.netG=resnet_9blocks")},
    {"settings": ("data.crop_size=100", "network.netG=unet_128")},
    {"settings": ("network.ngff=4",)},
    {"settings": ("batch_size=4",)},
    {"settings": ("network.ngf",)},
    {"settings": ("network.ngf=many",)},
    {"settings": ("network.ngf=[",)},
    {"settings": ("speed.threads=0",)},
    {"settings": ("speed.threads=2",), "device": "cuda"},
    {"settings": ("speed.static_graph=true",), "device_count": 1},
    {"settings": ("speed.cuda_graph=true",)},
    {"settings": ("speed.cuda_graph=true",), "device": "cuda", "precision": "AMP"},
    {"settings": ("speed.compile=blocks",), "model": "pix2pix_unet_256"},
    {"settings": ("speed.threads=1",), "profile": "optimized"},
    {"profile": "fast"},
    {"profile": "custom"},
    {"nodes": 2},
    {"nodes": 4, "device_count": 6, "batch_size": 6},
    {"nodes": 2, "rdzv": "10.0.0.1:29500", "node_rank": 2},
    {"rdzv": "10.0.0.1:29500"},
    {"node_rank": 0},
    {"partition": "gpu"},
    {**SLURM, "rdzv": "10.0.0.1:29500", "nodes": 2},
    {**SLURM, "node_rank": 0, "nodes": 2},
    {**SLURM, "cuda_visible_devices": "0"},
    {**SLURM, "profile": "optimized"},
    {**SLURM, "partition": ""},
    {**SLURM, "time": "soon"},
    {**SLURM, "sbatch": ("mem=0",)},
    {**SLURM, "container": "apptainer"},
    {**SLURM, "container": "pyxis"},
]
VARIABLES = [
    {"DATESTAMP": "231101"},
    {"OMP_NUM_THREADS": "0"},
    {"OMP_NUM_THREADS": "many"},
]
ACCEPTED: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "plain": ({}, {}),
    "options": (
        {
            "cuda_visible_devices": "2,3",
            "device": "cuda",
            "precision": "amp",
            "profile": "custom",
            "network": "host",
            "settings": ("speed.channels_last=true", "network.ngf=16"),
            "until_ci": 0.01,
            "max_time_s": 600.0,
            "env": {"A": "1"},
            "run_model_file": "pt-pix2pix.sh",
            "cache_dir": "cache",
            "logs_dir": "logs",
            "results_dir": "results",
            "command_line": "gbench launch",
        },
        {},
    ),
    "variables": (
        {"device": "cuda", "deterministic": True, "recipe": "convergence", "stop_on": ("nan", "flat")},
        {
            "CUDA_VISIBLE_DEVICES": "1",
            "OMP_NUM_THREADS": "4,2",
            "WORK_DIR": "elsewhere",
            "LOG_DIR": "logs",
            "CONT": "bench:1",
            "DATASETS": "maps",
            "DATASETS_DIR": "maps",
            "CNDB_DIR": "cndb",
            "XDG_CACHE_HOME": "cache",
            "DOCKERFILE": "Dockerfile",
        },
    ),
    "slurm": (
        {**SLURM, "nodes": 2, "partition": "gpu", "time": "1-12", "sbatch": ("--mem=0",), "queue_timeout_s": 60.0},
        {},
    ),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "empty").mkdir()
    for text, name in DOCKER_FILES.items():
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def ask(changes: dict[str, Any], environ: dict[str, str]) -> Any:
    values = {"model": "pix2pix_resnet_9blocks", "batch_size": 4, "device_count": 2, "precision": "FP32"}
    return resolve(Request(**{**values, "device": "cpu", **changes}), environ)


def without_places(text: str, here: Path) -> str:
    return text.replace(str(here), "HERE").replace(str(project_file("configs").parent), "PROJECT")


def test_what_is_refused(here: Path) -> None:
    said = []
    for changes, environ in [*((one, {}) for one in REFUSED), *(({}, one) for one in VARIABLES)]:
        with pytest.raises(GbenchError) as error:
            ask(changes, environ)
        said.append(f"{changes or environ}\n    {error.value}\n")
    check_golden("requests-refused.txt", without_places("".join(said), here))


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted(name: str, here: Path) -> None:
    found = ask(*ACCEPTED[name])
    values = found.spec.model_dump(mode="json", exclude={"run_id"}, exclude_defaults=True)
    origins = {key: origin for key, origin in sorted(found.origins.items()) if origin != "default"}
    both = {"spec": values, "origins": origins}
    text = without_places(json.dumps(both, indent=1), here)
    check_golden(f"request-{name}.json", text + "\n")
