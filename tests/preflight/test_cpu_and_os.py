"""Facts of the host, from simulated /proc and /sys trees, real tools on PATH, and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from gbench.machine import host
from gbench.preflight import busy, cpu_and_os, tools
from gbench.preflight.tools import Unreadable
from gbench.runfolder.host_facts import CheckFacts

Tree = Callable[[dict[str, str]], Path]
CheckOne = Callable[..., CheckFacts]


def governors(*names: str) -> dict[str, str]:
    return {f"sys/devices/system/cpu/cpu{i}/cpufreq/scaling_governor": f"{name}\n" for i, name in enumerate(names)}


def test_governor_of_every_cpu_counts(check_one: CheckOne, tree: Tree) -> None:
    fit = check_one("cpu-governor", tree(governors("performance", "performance")))
    assert (fit.severity, fit.found, fit.commands) == ("ok", "performance on 2 CPUs", [])
    unfit = check_one("cpu-governor", tree(governors("performance", "powersave", "performance")))
    assert (unfit.severity, unfit.found) == ("error", "performance on 2, powersave on 1 CPUs")
    assert unfit.commands[0].argv[0] == "sh"


def test_a_host_without_frequency_scaling_is_not_unfit(check_one: CheckOne, tree: Tree) -> None:
    check = check_one("cpu-governor", tree({}))
    assert check.severity == "info"
    assert "not visible" in check.found


def test_a_busy_process_is_named_and_lives_on(check_one: CheckOne, monkeypatch: pytest.MonkeyPatch) -> None:
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    # on a machine with many busy processes, the five that are named may be others
    monkeypatch.setattr("psutil.process_iter", lambda: [psutil.Process(), psutil.Process(hog.pid)])
    try:
        check = check_one("busy-processes")
        assert hog.poll() is None
    finally:
        hog.kill()
        hog.wait()
    assert check.severity == "error"
    assert f"pid {hog.pid} python" in check.found
    assert f"pid {os.getpid()} " not in check.found


def test_the_first_look_begins_early_unless_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    slept_s = []

    def sleep(seconds: float, really: Callable[[float], None] = time.sleep) -> None:
        slept_s.append(seconds)
        really(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    try:
        for longest_s, found in ((60, [hog.pid]), (0, [])):
            monkeypatch.setattr(busy, "LONGEST_S", longest_s)
            monkeypatch.setattr("psutil.process_iter", lambda: [psutil.Process(hog.pid)])
            busy.look_ahead()
            monkeypatch.setattr("psutil.process_iter", list)
            busy.look_ahead()  # it has begun
            assert [process.pid for process in busy.busy_now()[0]] == found
            assert busy._early == []
    finally:
        hog.kill()
        hog.wait()
    assert len(slept_s) == 3 and slept_s[0] < busy.SAMPLE_S  # two looks, and one from the start


def test_a_process_that_is_busy_only_for_a_blink_is_no_news(
    check_one: CheckOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    blink = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    looks = []

    def sleep(seconds: float, really: Callable[[float], None] = time.sleep) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            blink.send_signal(signal.SIGSTOP)
        really(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    try:
        check = check_one("busy-processes")
    finally:
        blink.kill()
        blink.wait()
    assert len(looks) == 2
    assert f"pid {blink.pid} " not in check.found


def test_an_idle_process_is_not_busy(check_one: CheckOne) -> None:
    idle = subprocess.Popen(["sleep", "60"])
    try:
        assert f"pid {idle.pid} " not in check_one("busy-processes").found
    finally:
        idle.kill()
        idle.wait()


def test_what_a_container_hides_is_said(check_one: CheckOne, tree: Tree) -> None:
    root = tree({})
    namespace = root / "proc/self/ns/pid"
    namespace.parent.mkdir(parents=True)
    namespace.symlink_to("pid:[4026532200]")
    assert "outside this container" in check_one("busy-processes", root).found
    namespace.unlink()
    namespace.symlink_to(cpu_and_os.INITIAL_PID_NAMESPACE)
    assert "container" not in check_one("busy-processes", root).found


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /data nfs4 rw 0 0
/dev/sdb1 /data/my\\040sets xfs rw 0 0
/dev/sdc1 /scratch ext4 rw 0 0
server:/scratch /scratch nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "severity", "kind"),
    [
        ("/home/me/data", "ok", "/ (ext4)"),
        ("/data", "warning", "/data (nfs4)"),
        ("/data/facades", "warning", "/data (nfs4)"),
        ("/database", "ok", "/ (ext4)"),
        ("/data/my sets/facades", "ok", "/data/my sets (xfs)"),
        ("/scratch/facades", "warning", "/scratch (nfs)"),  # mounted over the local disk
    ],
)
def test_dataset_mount(check_one: CheckOne, tree: Tree, folder: str, severity: str, kind: str) -> None:
    check = check_one("dataset-mount", tree({"proc/mounts": MOUNTS}), datasets_dir=folder)
    assert (check.severity, check.found) == (severity, f"{folder} is on {kind}")


def test_a_file_that_can_not_be_read_is_named(check_one: CheckOne, tree: Tree) -> None:
    for rule in ("dataset-mount", "huge-pages", "cgroup-limits"):
        check = check_one(rule, tree({}))
        assert check.severity == "info"
        assert check.found.startswith("can't read /")


def test_huge_pages(check_one: CheckOne, tree: Tree) -> None:
    root = tree({"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n"})
    check = check_one("huge-pages", root)
    assert (check.severity, check.found) == ("info", "madvise")


@pytest.mark.parametrize(("free_gib", "words", "severity"), [(0.06, "61.4 MiB", "warning"), (64, "64.0 GiB", "ok")])
def test_shared_memory(
    check_one: CheckOne, monkeypatch: pytest.MonkeyPatch, free_gib: float, words: str, severity: str
) -> None:
    usage = SimpleNamespace(total=64 * 1024**3, free=int(free_gib * 1024**3))
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    check = check_one("shared-memory")
    assert check.severity == severity
    assert check.found == f"{words} of 64.0 GiB free in /dev/shm"
    check = check_one("shared-memory", runner="docker")
    assert (check.severity, check.found) == ("ok", "the container has its own /dev/shm, of 64.0 GiB")


def test_cpu_facts_are_those_of_the_record(check_one: CheckOne) -> None:
    check = check_one("cpu")
    assert check.severity == "info"
    assert host.cpu_name() in check.found
    assert f"threads {host.cpu_facts()['threads']}" in check.found


@pytest.mark.parametrize(
    ("says", "severity", "found"),
    [
        ("irqbalance version 1.4.0", "error", "irqbalance 1.4.0"),
        ("irqbalance version 1.5.0", "ok", "irqbalance 1.5.0"),
        ("irqbalance version 1.10", "ok", "irqbalance 1.10"),
        ("irqbalance", "info", "irqbalance does not report its version"),
    ],
)
def test_irqbalance(
    check_one: CheckOne, tool: Callable[[str, str], Path], says: str, severity: str, found: str
) -> None:
    tool("irqbalance", f"echo '{says}'")
    check = check_one("irqbalance")
    assert (check.severity, check.found) == (severity, found)


def test_a_tool_that_gives_no_answer_is_named(
    tool: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "TIMEOUT_S", 0.2)
    tool("gbench-test-slow", "exec sleep 30")
    tool("gbench-test-broken", "exit 3")
    for name, reason in {
        "gbench-test-slow": "gave no answer",
        "gbench-test-broken": "failed with exit code 3",
        "gbench-test-absent": "is not installed",
    }.items():
        with pytest.raises(Unreadable, match=f"{name} {reason}"):
            tools.output_of(name)
