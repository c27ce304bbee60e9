"""`gbench check` as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.errors import RunFailed

CPU = ("check", "--device", "cpu", "--runner", "local")


def test_fit_says_so_and_how_many_warnings(gbench: Callable[..., Answer], facades: Path) -> None:
    answer = gbench(*CPU, "--datasets-dir", facades)
    assert answer.code == 0, answer.out
    assert answer.out.splitlines()[-1].startswith("fit for local on cpu: 0 error(s), ")
    assert "gpu" not in answer.out
    assert "DATASETS_DIR=" in answer.out
    assert "(option)" in answer.out


def test_errors_are_told_from_warnings(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    answer = gbench(*CPU, "--datasets-dir", tmp_path)
    assert answer.code == 1
    (errors,) = (line for line in answer.out.splitlines() if line.startswith("errors "))
    assert errors == "errors    dataset. figures would be wrong, or no run is possible: a launch would be refused"
    warned = [line.split()[1] for line in answer.out.splitlines() if line.startswith("WARNING")]
    lines = [line for line in answer.out.splitlines() if line.startswith("warnings ")]
    assert [line.split(".")[0] for line in lines] == ([f"warnings  {', '.join(warned)}"] if warned else [])


def test_lines_fit_the_columns_and_severities_have_colours(
    gbench: Callable[..., Answer], facades: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = gbench(*CPU, "--datasets-dir", facades, COLUMNS="70")
    assert max(len(line) for line in answer.out.splitlines() if " " in line.strip()[33:]) <= 70
    assert "\x1b" not in answer.out
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *arguments: False)
    assert "\x1b[32mok" in gbench(*CPU, "--datasets-dir", facades).out


def test_json_holds_every_field(gbench: Callable[..., Answer], facades: Path) -> None:
    answer = gbench(*CPU, "--datasets-dir", facades, "--json")
    assert answer.json["fit"] is True
    assert answer.json["mendings"] == []
    for check in answer.json["checks"]:
        assert set(check) == {"id", "severity", "found", "why", "mend", "commands", "ignored"}


def test_an_invalid_variable_is_reported_with_the_others(gbench: Callable[..., Answer], facades: Path) -> None:
    answer = gbench(*CPU, "--datasets-dir", facades, "--json", DOCKERFILE="/nowhere/Dockerfile")
    assert answer.code == 1
    checks = {check["id"]: check for check in answer.json["checks"]}
    assert checks["variables"]["severity"] == "error"
    assert "/nowhere/Dockerfile" in checks["variables"]["found"]
    assert "cpu-governor" in checks


def test_gpu_smoke_needs_a_gpu(gbench: Callable[..., Answer]) -> None:
    answer = gbench(*CPU, "--gpu-smoke")
    assert answer.code == 2
    assert answer.err == "gbench: error: --gpu-smoke needs a GPU, and --device is cpu; leave one of them out\n"


@pytest.mark.parametrize("flag", ["--apply", "--clocks"])
def test_apply_and_clocks_go_with_fix(gbench: Callable[..., Answer], flag: str) -> None:
    answer = gbench(*CPU, flag)
    assert answer.code == 2
    assert answer.err.startswith("gbench: error: --apply and --clocks go with --fix; ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fleet",), "--fleet compares nodes, and --nodes is 1; give --nodes N, on every node, with --rdzv"),
        (
            ("--fleet", "--nodes", 2),
            "--nodes 2 needs --rdzv HOST:PORT; give an address of the first host, and a free port",
        ),
        (("--fleet", "--nodes", 2, "--fix"), "--fix has no effect with --fleet; leave it out"),
        (
            ("--fleet", "--nodes", 2, "--runner", "kubernetes"),
            "--fleet does not go with --runner kubernetes; start it in a pod a node, with --rdzv",
        ),
        (("--nodes", 2), "--nodes goes with --fleet; leave it out, or add --fleet"),
        (("--partition", "gpu"), "--partition goes with --fleet; leave it out, or add --fleet"),
    ],
)
def test_options_of_a_fleet(gbench: Callable[..., Answer], arguments: tuple[object, ...], said: str) -> None:
    answer = gbench(*CPU, *arguments)
    assert answer.code == 2
    assert answer.err.startswith(f"gbench: error: {said}")


def test_a_fleet_whose_probe_failed_is_not_one_with_a_slow_node(
    gbench: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*of_the_probe: object) -> None:
        raise RunFailed("node 0 (box0, 10.0.0.1) ended: stopped by Ctrl-C", "what the run had written is kept")

    monkeypatch.setattr("gbench.runs.fleet.probe_fleet", fails)
    answer = gbench("check", "--fleet", "--nodes", 2, "--rdzv", "127.0.0.1:1", "--device", "cpu", "--runner", "local")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("gbench: error: node 0 (box0, 10.0.0.1) ended: stopped by Ctrl-C;")
