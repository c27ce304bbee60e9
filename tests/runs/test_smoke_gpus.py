"""Which runs test their GPUs first, and what of a pass is remembered; tests/fake_gpu runs whole tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gbench.machine.gpus import Gpu, Gpus
from gbench.preflight.rule import CheckedRun, Finding
from gbench.preflight.smoke_rules import RUN
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.gpu_findings import NAME, GpuFindings
from gbench.runners.docker import DockerRunner
from gbench.runners.local import LocalRunner
from gbench.runners.plan import Outcome, Runner
from gbench.runs import smoke_gpus
from gbench.runs.prepare import make_runner
from gbench.settings.spec import RunSpec

GPUS = Gpus(tuple(Gpu(index, "H100", f"GPU-{index}", (9, 0)) for index in range(2)), driver="580")
TESTED = {RUN: Finding("ok", "tested"), "triton": Finding("warning", "GPU 0: no compiler")}


@pytest.fixture
def smoke(
    make_spec: Callable[..., RunSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Finding]]:
    """The smoke test of a run on `count` GPUs; it passes if it is done."""

    def run(count: int, gpus: Gpus = GPUS, **changes: Any) -> dict[str, Finding]:
        spec = make_spec(device="cuda", device_count=count, batch_size=count).replaced(**changes)

        def passes(spec: RunSpec, gpus: Gpus, runner: Runner, say: object) -> dict[str, Finding]:
            smoke_gpus._remember(spec, smoke_gpus._pass_now(spec, gpus, runner, TESTED))
            return TESTED

        monkeypatch.setattr(smoke_gpus, "run_smoke", passes)
        return smoke_gpus.smoke_of_run(spec, gpus, make_runner(spec, {}, False), tmp_path, lambda _: None)

    return run


def test_a_pass_holds_for_some_of_its_gpus(smoke: Callable[..., dict[str, Finding]], tmp_path: Path) -> None:
    assert smoke(1) == TESTED
    assert smoke(2) == TESTED
    again = smoke(1)
    assert again.pop(RUN).found.startswith("passed on 2")
    assert again == {"triton": TESTED["triton"]}
    assert smoke(2, cuda_visible_devices="1,0")[RUN].found.startswith("passed on 2")
    assert smoke(1, Gpus(GPUS.devices, driver="590")) == TESTED
    for path in (tmp_path / "cache/gpu-smoke").iterdir():
        path.write_text("{")
    assert smoke(2) == TESTED


class HangingRunner(LocalRunner):
    """Rank 0 has come to its end; rank 1 hangs."""

    def run(self, run_dir: Path, on_line: Callable[[str], None]) -> Outcome:
        for rank, doing in enumerate([None, "all-reduce"]):
            findings = GpuFindings(uuid=str(rank), doing=doing, findings=[])
            RunFolder(run_dir).write(NAME.format(rank), findings.model_dump())
        time.sleep(60)
        return Outcome(0)


def test_a_gpu_that_hangs_is_named_at_the_limit(
    make_spec: Callable[..., RunSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke_gpus, "LIMIT_S", 0.2)
    spec = smoke_gpus._spec_of_smoke(make_spec(device="cuda", device_count=2), tmp_path)
    said: list[str] = []
    found = smoke_gpus.run_smoke(spec, GPUS, HangingRunner(spec, {}), said.append)
    assert found == {RUN: Finding("error", "GPU 1 (H100, GPU-1): no end after 0 s, in the part all-reduce")}
    assert said == [f"the log of the smoke test is {tmp_path}/{spec.run_id}/log.txt"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"ignore_check": True}, "ignore_check"), ({"recipe": "custom"}, "the run script is the user's own")],
)
def test_a_run_without_a_test_says_why(
    smoke: Callable[..., dict[str, Finding]], changes: dict[str, Any], why: str
) -> None:
    assert smoke(1, **changes) == {RUN: Finding("info", f"not done: {why}")}


def test_a_container_runs_it_without_data_or_caches(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    spec = make_spec(device="cuda", runner="docker", data_source="resident")
    runner = DockerRunner(spec).with_spec(smoke_gpus._spec_of_smoke(spec, tmp_path))
    container = runner.describe()["container"]
    mounts = {mount["Target"]: mount["Source"] for mount in container["mounts"]}
    assert mounts["/gbench/run_model.sh"].endswith("scripts/pt-gpu-smoke.sh")
    assert mounts["/gbench/run"] == f"{tmp_path}/{spec.run_id}-smoke"
    assert mounts["/data"] == str(tmp_path)
    assert "/gbench/cache" not in mounts
    assert container["name"] == f"gbench-{spec.run_id}-smoke"


def test_a_machine_without_gpus_says_what_is_needed(make_spec: Callable[..., RunSpec]) -> None:
    run = CheckedRun.of(make_spec(device="cuda"))
    found = smoke_gpus.smoke_of_machine(run, Gpus(missing="NVML: no driver"), {}, lambda _: None)
    assert found == {RUN: Finding("error", "it needs a GPU, and none was found (NVML: no driver)")}
