"""The whole table: which checks apply when, their severities, and agreement with its page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from fake_nvml import process
from gbench.base.paths import project_file
from gbench.errors import ExitCode, InfrastructureError, UsageError
from gbench.machine.gpus import Gpus, find_gpus
from gbench.preflight.check_table import RULES
from gbench.preflight.rule import CheckedRun, Rule
from gbench.preflight.run_checks import CONDITIONS, of_severity, require_fit, run_checks, with_errors_ignored
from gbench.preflight.smoke_rules import SMOKE
from gbench.runfolder.host_facts import CheckFacts
from gbench.settings.spec import RunSpec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "check.md"


def row(rule: Rule) -> str:
    whom = " ".join(sorted(rule.only)) or "all"
    return f"| `{rule.id}` | {whom} | {rule.what} | {rule.why} | {rule.fix or '-'} |"


def test_ids_are_unique() -> None:
    assert len({rule.id for rule in (*RULES, *SMOKE)}) == len(RULES) + len(SMOKE)


def test_the_page_has_every_row_of_the_table_and_no_other() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [row(rule) for rule in (*RULES, *SMOKE)]


def test_this_machine_quickly(make_spec: Callable[..., RunSpec]) -> None:
    started = time.perf_counter()
    checks = list(run_checks(CheckedRun.of(make_spec()), find_gpus()))
    assert time.perf_counter() - started < 10  # 1 s of it is looking at the CPUs; the rest is room for a loaded machine
    assert [check.id for check in checks] == [
        "variables",
        "torch",
        "dataset",
        "dataset-mount",
        "writing",
        "disk",
        "shared-memory",
        "cpu",
        "cpu-ranks",
        "loader-processes",
        "cpu-governor",
        "busy-processes",
        "cgroup-limits",
        "huge-pages",
        "irqbalance",
        "calibration",
    ]
    assert all(check.found and check.why for check in checks)
    assert of_severity(checks, "error") == []


def test_a_launch_asks_for_conditions_only(make_spec: Callable[..., RunSpec]) -> None:
    ids = [check.id for check in run_checks(CheckedRun.of(make_spec()), find_gpus(), CONDITIONS)]
    assert "cpu-governor" in ids
    assert not {"variables", "torch", "dataset"} & set(ids)


def test_all_checks_of_a_gpu_machine_are_made_once(
    make_spec: Callable[..., RunSpec], nvml: Callable[..., ModuleType]
) -> None:
    module = nvml({}, {})
    spec = make_spec().model_copy(update={"device": "cuda", "device_count": 2})
    ids = [check.id for check in run_checks(CheckedRun.of(spec, lambda _: 1.0), find_gpus())]
    assert ids == [rule.id for rule in RULES if not rule.only & {"docker", "cpu"}]
    assert module.open == 0


def test_nvml_is_closed_when_the_reader_stops_early(
    make_spec: Callable[..., RunSpec], nvml: Callable[..., ModuleType]
) -> None:
    module = nvml({})
    spec = make_spec().model_copy(update={"device": "cuda"})
    checks = run_checks(CheckedRun.of(spec), find_gpus())
    next(checks)
    assert module.open == 1
    checks.close()  # type: ignore[attr-defined]
    assert module.open == 0


def test_on_the_cpu_conditions_only_warn(
    make_spec: Callable[..., RunSpec], tree: Callable[[dict[str, str]], Path]
) -> None:
    root = tree({"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave"})
    for device, severity in (("cuda", "error"), ("cpu", "warning")):
        spec = make_spec().model_copy(update={"device": device})
        checks = run_checks(CheckedRun.of(spec), Gpus(missing="no driver"), root=root)
        (governor,) = [check for check in checks if check.id == "cpu-governor"]
        assert governor.severity == severity
        assert governor.commands


def test_on_the_cpu_what_a_run_needs_is_still_an_error(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    spec = make_spec().model_copy(update={"datasets_dir": str(tmp_path / "nowhere")})
    errors = of_severity(run_checks(CheckedRun.of(spec), find_gpus()), "error")
    assert [check.id for check in errors] == ["dataset"]


def test_without_resolved_values_the_rest_is_still_checked() -> None:
    wanted = CheckedRun("cpu", "local", unresolved=UsageError("DOCKERFILE /x is not a file", "fix the path"))
    checks = {check.id: check for check in run_checks(wanted, find_gpus())}
    assert checks["variables"].severity == "error"
    assert checks["variables"].found == "DOCKERFILE /x is not a file"
    assert checks["variables"].fix == "fix the path"
    assert "cpu-governor" in checks
    assert not {"dataset", "dataset-mount", "disk"} & set(checks)


CHECKS = [
    CheckFacts(id="a", severity="ok", found="fine", why="why"),
    CheckFacts(id="b", severity="warning", found="doubtful", why="why", fix="fix"),
    CheckFacts(id="c", severity="error", found="wrong", why="why", fix="fix"),
    CheckFacts(id="d", severity="error", found="wrong too", why="why", fix="fix"),
]


def test_an_unfit_machine_stops_a_launch_with_all_its_errors() -> None:
    assert [check.id for check in of_severity(CHECKS, "warning")] == ["b"]
    with pytest.raises(InfrastructureError) as raised:
        require_fit(CHECKS)
    assert raised.value.what == "this machine is not fit to measure on: c: wrong; d: wrong too"
    assert "ignore_check" in raised.value.hint
    assert raised.value.exit_code == ExitCode.INFRASTRUCTURE


def test_ignored_errors_are_kept_as_warnings_that_say_so() -> None:
    checks = with_errors_ignored(CHECKS)
    require_fit(checks)
    assert of_severity(checks, "error") == []
    warnings = of_severity(checks, "warning")
    assert [(check.id, check.ignored) for check in warnings] == [("b", False), ("c", True), ("d", True)]
    assert len(checks) == len(CHECKS)


def test_foreign_gpu_processes_are_an_error_without_a_command(
    check_one: Callable[..., CheckFacts], nvml: Callable[..., ModuleType]
) -> None:
    nvml({"ComputeRunningProcesses": [process(4242, 3.0)]})
    check = check_one("gpu-processes")
    assert check.severity == "error"
    assert check.commands == []
    assert "gbench never does" in check.fix


def test_readme_says_what_refuses_an_ordinary_server() -> None:
    text = project_file("README.md").read_text().split("## On GPUs")[1].split("\n## ")[0]
    assert all(f"`{name}`" in text for name in ("cpu-governor", "busy-processes", "gpu-processes"))
    assert "check --fix" in " ".join(text.split()) and "ignore_check" in text
