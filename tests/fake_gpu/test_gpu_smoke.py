"""The smoke test on fake GPUs that compute: a pass, each fault, and launches after a pass.

gbench itself runs in this process, on the GPUs of fake_nvml; tests/helpers/computing.py is in those that it starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from support import Answer, two_ranks

from fake_nvml import fake_nvml
from gbench.errors import ExitCode
from gbench.runfolder.folder import RunFolder
from gbench.runs.smoke_gpus import PassedSmoke

NAME, DRIVER = "Fake GPU (figures mean nothing)", "580.65.06"
UUIDS = [f"GPU-{byte * 4}-{byte * 2}-{byte * 2}-{byte * 2}-{byte * 6}" for byte in ("10", "11")]
FAULTS = {
    "smoke-convolution": "differs from the CPU's by nan% in FP32, where rounding is below 0.01%, nan% in TF32",
    "smoke-fp32": "in FP32 4097 x 1 is 4096, not 4097",
    "smoke-graph": "a replayed CUDA graph gave 0, not 7",
    "smoke-triton": "a Triton kernel gave 0, not 7",
    "smoke-all-reduce": "an all-reduce over 2 GPU(s) gave 4, not 3",
}


@pytest.fixture
def here(
    gbench: Callable[..., Answer], fake_gpu: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """Runs `gbench ARGUMENTS` on a machine of two fake GPUs in no condition that checks would refuse."""
    monkeypatch.setattr("gbench.runs.attempt.CONDITIONS", ())
    monkeypatch.setattr("gbench.preflight.check_table.RULES", ())

    def run(*arguments: object, driver: str = DRIVER, **variables: str) -> Answer:
        cards = [{"Name": NAME, "UUID": uuid} for uuid in UUIDS]
        monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(*cards, driver=driver))
        where = ("--device", "cuda", "--runner", "local", "--cache-dir", tmp_path / "cache")
        return gbench(*arguments, *where, **fake_gpu, FAKE_GPU_COUNT="2", **variables)

    return run


def checks(answer: Answer) -> dict[str, dict[str, Any]]:
    assert answer.code in (0, 1), answer.err
    return {check["id"]: check for check in answer.json["checks"]}


@two_ranks
def test_each_fault_is_found_on_its_gpu_alone(here: Callable[..., Answer], tmp_path: Path) -> None:
    """And an earlier pass no longer holds."""
    software = f"torch {metadata.version('torch')}"
    passed = PassedSmoke(gpus=tuple(UUIDS), driver=DRIVER, software=software, utc="", warnings={})
    (tmp_path / "cache/gpu-smoke").mkdir(parents=True)
    (tmp_path / "cache/gpu-smoke/1.json").write_text(passed.model_dump_json())
    faults = ",".join(f"wrong:1:{name.removeprefix('smoke-')}" for name in FAULTS)
    answer = here("check", "--gpu-smoke", "--json", FAKE_GPU_COMPUTES="1", FAKE_GPU_FAULT=faults)
    found = checks(answer)
    assert answer.code == ExitCode.FAILED
    assert {name for name, check in found.items() if check["severity"] == "error"} == FAULTS.keys()
    for name, sentence in FAULTS.items():
        assert found[name]["found"].startswith(f"GPU 1 ({NAME}, {UUIDS[1]}): ")
        assert sentence in found[name]["found"]
        assert "GPU 0" not in found[name]["found"]
    assert not list(tmp_path.glob("cache/gpu-smoke/*.json"))


@two_ranks
def test_a_pass_is_remembered_until_the_driver_changes(
    here: Callable[..., Answer], small_launch: list[str], tmp_path: Path
) -> None:
    """The launches are on GPUs whose kernels do nothing: they train only while nobody tests that."""
    found = checks(here("check", "--gpu-smoke", "--json", FAKE_GPU_COMPUTES="1"))
    assert {check["severity"] for check in found.values()} == {"ok"}
    assert found["smoke"]["found"] == "done on 2 GPU(s)"
    launch = ["launch", "pix2pix_resnet_9blocks", 2, 1, "FP32", *small_launch, "--steps", 2, "--warmup", 1]
    answer = here(*launch, "--set", "measure.idle_seconds=0")
    assert answer.code == 0, answer.err
    (run,) = (tmp_path / "results").iterdir()
    smoke = RunFolder(run).host().checks[-1]
    assert smoke.id == "smoke" and smoke.severity == "ok" and smoke.found.startswith("passed on 20")
    assert not (run / "gpu-smoke").exists()
    answer = here(*launch, driver="590.1")
    assert answer.code == ExitCode.INFRASTRUCTURE
    last = answer.err.splitlines()[-1]
    assert f"smoke-fp32: GPU 0 ({NAME}, {UUIDS[0]}): in FP32 4097 x 1 is " in last
    assert "`gbench check --gpu-smoke`" in last and "ignore_check" in last
