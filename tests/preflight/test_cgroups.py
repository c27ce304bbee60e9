"""Control groups, of v1 and v2, of containers and slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gbench.machine.gpus import Gpus
from gbench.preflight.cgroups import free_memory_gib
from gbench.preflight.rule import CheckedRun, Context
from gbench.runfolder.host_facts import CheckFacts
from gbench.settings.spec import RunSpec

MACHINE = {
    "sys/devices/system/cpu/online": "0-15\n",
    "proc/meminfo": "MemTotal:       67108864 kB\nMemFree: 1 kB\n",
    "proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-15\n",
}
V2 = {"proc/self/cgroup": "0::/user.slice/run.scope\n"}
V1 = {"proc/self/cgroup": "4:memory:/jobs/7\n3:cpu,cpuacct:/jobs/7\n1:name=systemd:/jobs/7\n0::/\n"}
GIB = 1024**3


@pytest.mark.parametrize(
    ("files", "runner", "severity", "found"),
    [
        (V2, "local", "ok", "no limit"),
        (
            {**V2, "sys/fs/cgroup/user.slice/run.scope/cpu.max": "max 100000"},
            "local",
            "ok",
            "no limit",
        ),
        (
            {**V2, "sys/fs/cgroup/user.slice/run.scope/cpu.max": "400000 100000"},
            "local",
            "warning",
            "time for 4.0 of 16 CPUs",
        ),
        # a group above limits too, and the tightest limit holds
        (
            {
                **V2,
                "sys/fs/cgroup/user.slice/cpu.max": "150000 100000",
                "sys/fs/cgroup/user.slice/run.scope/cpu.max": "400000 100000",
            },
            "local",
            "warning",
            "time for 1.5 of 16 CPUs",
        ),
        (
            {**V2, "sys/fs/cgroup/user.slice/memory.max": f"{32 * GIB}"},
            "local",
            "info",
            "32.0 GiB of 64.0 GiB of memory",
        ),
        (
            {**V2, "sys/fs/cgroup/user.slice/memory.max": f"{2 * GIB}"},
            "local",
            "warning",
            "2.00 GiB of 64.0 GiB of memory",
        ),
        # a container of the engine is not in this process's slice, but within the limits of the root
        (
            {**V2, "sys/fs/cgroup/user.slice/run.scope/cpu.max": "400000 100000"},
            "docker",
            "ok",
            "no limit",
        ),
        (
            {**V2, "sys/fs/cgroup/cpu.max": "800000 100000"},
            "docker",
            "warning",
            "time for 8.0 of 16 CPUs",
        ),
        (
            {
                **V1,
                "sys/fs/cgroup/cpu/jobs/7/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu/jobs/7/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            },
            "local",
            "warning",
            "time for 2.5 of 16 CPUs",
        ),
        (
            {
                **V1,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
                # the path is the host's, while this container sees its group as the root
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{16 * GIB}",
            },
            "local",
            "info",
            "16.0 GiB of 64.0 GiB of memory",
        ),
        (
            {**V2, "proc/self/status": "Cpus_allowed_list:\t0-3,8\n"},
            "local",
            "info",
            "only CPUs 0-3,8 of 16",
        ),
    ],
)
def test_the_tightest_limit_is_found(
    check_one: Callable[..., CheckFacts],
    tree: Callable[[dict[str, str]], Path],
    files: dict[str, str],
    runner: str,
    severity: str,
    found: str,
) -> None:
    check = check_one("cgroup-limits", tree({**MACHINE, **files}), runner=runner)
    assert (check.severity, check.found) == (severity, found)


@pytest.mark.parametrize(
    ("files", "free_gib"),
    [
        ({}, 60),
        ({"sys/fs/cgroup/job/memory.max": f"{16 * GIB}"}, 16),
        ({"sys/fs/cgroup/job/memory.max": f"{16 * GIB}", "sys/fs/cgroup/job/memory.current": f"{10 * GIB}"}, 6),
        # files that nobody has used lately go first
        (
            {
                "sys/fs/cgroup/job/memory.max": f"{16 * GIB}",
                "sys/fs/cgroup/job/memory.current": f"{10 * GIB}",
                "sys/fs/cgroup/job/memory.stat": f"anon 1\ninactive_file {4 * GIB}\nactive_file 2",
            },
            10,
        ),
        # a group above is full
        (
            {
                "sys/fs/cgroup/job/memory.max": f"{16 * GIB}",
                "sys/fs/cgroup/memory.max": f"{30 * GIB}",
                "sys/fs/cgroup/memory.current": f"{31 * GIB}",
            },
            0,
        ),
        (
            {
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{8 * GIB}",
                "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{5 * GIB}",
                "sys/fs/cgroup/memory/job/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB}",
            },
            4,
        ),
        # what no kernel writes is no limit
        ({"sys/fs/cgroup/job/memory.max": "lots", "sys/fs/cgroup/job/memory.current": "-1"}, 60),
        ({"sys/fs/cgroup/job/memory.max": f"{16 * GIB}", "sys/fs/cgroup/job/memory.current": "some"}, 16),
        ({"sys/fs/cgroup/job/memory.max": f"{16 * GIB}", "sys/fs/cgroup/job/memory.stat": "inactive_file x"}, 16),
    ],
)
def test_what_a_group_holds_is_not_free(
    make_spec: Callable[..., RunSpec],
    tree: Callable[[dict[str, str]], Path],
    files: dict[str, str],
    free_gib: float,
) -> None:
    own = {
        "proc/self/cgroup": "4:memory:/job\n0::/job\nodd line\n",
        "proc/meminfo": f"MemAvailable: {60 * 1024**2} kB\n",
    }
    context = Context(CheckedRun.of(make_spec()), Gpus(missing="none"), (), tree({**own, **files}))
    assert free_memory_gib(context) == pytest.approx(free_gib, abs=1e-6)


@pytest.mark.parametrize("quota", ["some 100000", "100000", "100000 0", "", "-5 100000", "100000 some"])
def test_an_odd_quota_is_none(
    check_one: Callable[..., CheckFacts], tree: Callable[[dict[str, str]], Path], quota: str
) -> None:
    root = tree({**MACHINE, **V2, "sys/fs/cgroup/user.slice/run.scope/cpu.max": quota})
    assert check_one("cgroup-limits", root).found == "no limit"


def test_memory_is_wanted_for_each_device(
    check_one: Callable[..., CheckFacts], tree: Callable[[dict[str, str]], Path]
) -> None:
    root = tree({**MACHINE, **V2, "sys/fs/cgroup/memory.max": f"{24 * GIB}"})
    assert check_one("cgroup-limits", root, device_count=4).severity == "info"
    assert check_one("cgroup-limits", root, device_count=8).severity == "warning"
