"""FixCommand commands, run on simulated /sys trees and with real programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gbench.preflight.fix import apply, fix_commands
from gbench.preflight.rule import Command
from gbench.runfolder.host_facts import CheckFacts


def check(*commands: Command) -> CheckFacts:
    return CheckFacts(id="some-check", severity="error", found="found", why="why", fix="fix", commands=list(commands))


def outcome(*argv: str, clocks: bool = False, allowed: bool = False) -> str:
    (done,) = apply(fix_commands([check(Command(argv, clocks))]), allowed)
    assert done.check == "some-check"
    return done.outcome


def test_the_governor_is_set_on_every_cpu_and_then_fit(
    check_one: Callable[..., CheckFacts], tree: Callable[[dict[str, str]], Path]
) -> None:
    files = [f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor" for cpu in range(12)]
    root = tree(dict.fromkeys(files, "powersave"))
    unfit = check_one("cpu-governor", root)
    assert unfit.severity == "error"
    assert [one.outcome for one in apply(fix_commands([unfit]), clocks=False)] == ["done"]
    assert {(root / name).read_text() for name in files} == {"performance\n"}
    assert check_one("cpu-governor", root).severity == "ok"


def test_a_governor_that_can_not_be_set_says_why(
    check_one: Callable[..., CheckFacts], tree: Callable[[dict[str, str]], Path]
) -> None:
    path = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    root = tree({path: "powersave"})
    planned = fix_commands([check_one("cpu-governor", root)])
    (root / path).unlink()
    (root / path).mkdir()  # writing fails for root too
    (done,) = apply(planned, clocks=False)
    assert done.outcome.startswith("failed with exit code 1: ")
    assert "scaling_governor" in done.outcome


def test_outcomes() -> None:
    assert outcome("true") == "done"
    assert outcome("sh", "-c", "echo first >&2; echo 'no permission' >&2; exit 4") == (
        "failed with exit code 4: no permission"
    )
    assert outcome("sh", "-c", "exit 5") == "failed with exit code 5"
    assert outcome("gbench-test-absent") == "failed: gbench-test-absent is not installed"


def test_clocks_are_set_only_for_who_asks(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    assert outcome("touch", str(mark), clocks=True) == "left out: needs --clocks"
    assert not mark.exists()
    assert outcome("touch", str(mark), clocks=True, allowed=True) == "done"
    assert mark.exists()


def test_one_failure_does_not_keep_the_next_from_running() -> None:
    planned = fix_commands([check(Command(("false",)), Command(("true",)))])
    assert [done.outcome for done in apply(planned, clocks=False)] == ["failed with exit code 1", "done"]
