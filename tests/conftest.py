"""Shared fixtures: a small drawn dataset, a spec, and the command line as a user runs it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Generator
from importlib import metadata
from pathlib import Path
from typing import Any

# Before torch is loaded: threads that spin while they wait make a busy machine a hundred times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# torch.compile starts two processes that load torch, for a few small kernels.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import pytest
from support import SMALL, Answer

from gbench.datasets.synth import synth
from gbench.preflight import busy
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec
from invoke import in_this_process

# Under nohup it is ignored, also by the commands that the tests start.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

pytest.register_assert_rewrite(
    "golden", "history_cases", "row_cases", "schema_cases", "store_cases", "stores", "submitters"
)

SHARED = Path(__file__).resolve().parents[2] / "shared"
LAUNCH_SH_VARIABLES = (
    "CONT",
    "DATASETS",
    "DATASETS_DIR",
    "CNDB_DIR",
    "CODE_LINK",
    "RUN_MODEL_FILE",
    "DOCKERFILE",
    "CONFIG",
    "WORK_DIR",
    "LOG_DIR",
    "RESULT_DIR",
    "DATESTAMP",
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",  # set by a training in this process
    "GBENCH_DEVICE",
    "GBENCH_RUNNER",
    "COLUMNS",  # set in the workers of pytest-xdist
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the machine's load in a failure, as it may cause a time-out."""
    report = yield
    if report.failed:
        load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
        report.sections.append(("machine", f"load averages {load} on {os.cpu_count()} cores"))
    return report


def pytest_collection_finish() -> None:
    """Let searches for garbage leave out what has been imported and collected: it stays, and is most of all objects."""
    gc.freeze()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's own launch.sh exports from the environment."""
    for name in LAUNCH_SH_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GBENCH_DEFAULTS", "")  # no gbench.yaml


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch looks for busy processes, finds those of other tests and looks again: both times only for a moment."""
    monkeypatch.setattr(busy, "SAMPLE_S", 0.05)


def pytest_report_header() -> str:
    return f"PyTorch {metadata.version('torch')}, torchvision {metadata.version('torchvision')}"


@pytest.fixture(scope="session")
def facades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn dataset of 40-pixel pairs: 16 train, 2 val, 4 test."""
    root = tmp_path_factory.mktemp("data") / "facades"
    synth(root, {"train": 16, "val": 2, "test": 4}, size=40, seed=1)
    return root


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Optional material next to the project (real pairs, the original's files); skips the test without it."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{name} is not at hand: no {path}")
        return path

    return find


@pytest.fixture
def make_spec(facades: Path, tmp_path: Path) -> Callable[..., RunSpec]:
    """A RunSpec of a small CPU run; keywords go to the Request."""

    def make(**changes: Any) -> RunSpec:
        settings = tuple(f"{key}={value}" for key, value in SMALL.items()) + tuple(changes.pop("settings", ()))
        values: dict[str, Any] = {
            "model": "pix2pix_resnet_9blocks",
            "batch_size": 4,
            "device_count": 1,
            "precision": "FP32",
            "device": "cpu",
            "runner": "local",
            "steps": 4,
            "warmup": 1,
            "datasets_dir": str(facades),
            "dataset": "synthetic",
            "cndb_dir": str(tmp_path / "cndb"),
            "results_dir": str(tmp_path / "results"),
            "logs_dir": str(tmp_path / "logs"),
            "cache_dir": str(tmp_path / "cache"),
        }
        return resolve(Request(**{**values, **changes}, settings=settings), {}).spec

    return make


@pytest.fixture
def gbench(tmp_path: Path) -> Callable[..., Answer]:
    """Runs `gbench ARGUMENTS` in an empty folder, in this process; its workers are real processes."""

    def run(*arguments: object, **variables: str) -> Answer:
        return in_this_process(arguments, tmp_path, variables)

    return run


@pytest.fixture(scope="session")
def small_launch(facades: Path) -> list[str]:
    """Arguments of a small local launch, to be extended by a test."""
    settings = [argument for key, value in SMALL.items() for argument in ("--set", f"{key}={value}")]
    return ["--device", "cpu", "--runner", "local", "--datasets-dir", str(facades), "--dataset", "synthetic", *settings]


@pytest.fixture(scope="session")
def without_test_split(facades: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Arguments to follow those of `small_launch`: a convergence run then ends without an evaluation."""
    root = tmp_path_factory.mktemp("lone")
    shutil.copytree(facades / "train", root / "train")
    return ["--datasets-dir", root]
