"""Which cores a rank gets, on simulated machines and on the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pynvml
import pytest
import torch
from support import Answer, two_cores, two_ranks

from gbench.base.cpu_list import cpu_set, ranges
from gbench.pix2pix.ranks.affinity import Binding, bind_rank, bus_id_of, near_gpu, own_share
from shared_runs import two_ranks_once

GPU = "0000:3b:00.0"


def machine(root: Path, nodes: int, cores_a_node: int, threads: int, gpu_node: int | None = None) -> Path:
    """The /sys of a machine, whose second hardware threads are numbered after all first ones, as Linux does."""
    cores = nodes * cores_a_node
    for node in range(nodes):
        mine = [core for core in range(cores) if core // cores_a_node == node]
        folder = root / f"sys/devices/system/node/node{node}"
        folder.mkdir(parents=True)
        parts = [f"{mine[0] + thread * cores}-{mine[-1] + thread * cores}" for thread in range(threads)]
        (folder / "cpulist").write_text(",".join(parts) + "\n")
        for core in mine:
            for thread in range(threads):
                topology = root / f"sys/devices/system/cpu/cpu{core + thread * cores}/topology"
                topology.mkdir(parents=True)
                siblings = ",".join(str(core + other * cores) for other in range(threads))
                (topology / "thread_siblings_list").write_text(siblings + "\n")
    if gpu_node is not None:
        device = root / "sys/bus/pci/devices" / GPU
        device.mkdir(parents=True)
        (device / "numa_node").write_text(f"{gpu_node}\n")
        near = (root / f"sys/devices/system/node/node{max(0, gpu_node)}/cpulist").read_text()
        (device / "local_cpulist").write_text(near)
    return root


def shares(allowed: set[int], ranks: int, root: Path) -> list[Binding]:
    return [own_share(frozenset(allowed), rank, ranks, root) for rank in range(ranks)]


def test_ranks_share_cores_but_no_hardware_thread_of_a_core(tmp_path: Path) -> None:
    root = machine(tmp_path, nodes=2, cores_a_node=4, threads=2)
    found = shares(set(range(16)), 4, root)
    assert [sorted(one.cpus) for one in found] == [[0, 1, 8, 9], [2, 3, 10, 11], [4, 5, 12, 13], [6, 7, 14, 15]]
    assert [one.threads for one in found] == [2, 2, 2, 2]  # one a core, not one a hardware thread
    odd = shares(set(range(16)), 3, root)
    assert [len(one.cpus) for one in odd] == [4, 4, 4]  # equal, and what is left over stays free
    assert len(frozenset.union(*(one.cpus for one in odd))) == 12


def test_only_what_was_allowed_before_is_shared_out(tmp_path: Path) -> None:
    root = machine(tmp_path, nodes=2, cores_a_node=4, threads=2)
    found = shares({1, 9, 5, 6, 7}, 2, root)  # taskset, or a scheduler
    assert [sorted(one.cpus) for one in found] == [[1, 5, 9], [6, 7]]
    alone = own_share(frozenset({1, 9}), 0, 1, root)
    assert (alone.cpus, alone.threads, alone.why_not) == ({1, 9}, 1, None)


def test_without_a_core_for_each_none_is_bound(tmp_path: Path) -> None:
    root = machine(tmp_path, nodes=1, cores_a_node=2, threads=2)
    for one in shares({0, 1, 2, 3}, 3, root):
        assert (one.cpus, one.threads, one.why_not) == ({0, 1, 2, 3}, None, "3 ranks have 2 cores")


def test_a_kernel_that_tells_nothing_has_a_core_a_cpu(tmp_path: Path) -> None:
    assert [sorted(one.cpus) for one in shares({0, 1, 2, 3}, 2, tmp_path)] == [[0, 1], [2, 3]]


def test_a_rank_with_a_gpu_is_bound_beside_it(tmp_path: Path) -> None:
    root = machine(tmp_path, nodes=2, cores_a_node=4, threads=2, gpu_node=1)
    found = near_gpu(frozenset(range(16)), GPU, root)
    assert (sorted(found.cpus), found.threads, found.why_not) == ([4, 5, 6, 7, 12, 13, 14, 15], None, None)
    assert sorted(near_gpu(frozenset({3, 4, 5}), GPU, root).cpus) == [4, 5]


class Driver(ModuleType):
    """NVML of a driver that knows one GPU."""

    open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-5a51":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def nvmlDeviceGetPciInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(domain=0, bus=0x3B, device=0, busId="00000000:3B:00.0")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"pci_domain_id": 0x10000, "pci_bus_id": 0x3B, "pci_device_id": 0, "uuid": "5a51"}, "10000:3b:00.0"),
        ({"uuid": "5a51"}, GPU),  # an older torch
        ({"uuid": "other"}, None),
        ({}, None),
    ],
)
def test_where_a_gpu_is_on_pci(monkeypatch: pytest.MonkeyPatch, told: dict[str, object], expected: str | None) -> None:
    driver = Driver("pynvml")
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(**told))
    assert bus_id_of(torch.device("cuda", 1)) == expected
    assert driver.open == 0


@pytest.mark.parametrize(
    ("gpu_node", "bus_id", "allowed", "why_not"),
    [
        (1, None, {0, 4}, "neither torch nor NVML reports where the GPU is on PCI"),
        (1, "0000:5e:00.0", {0, 4}, "the kernel does not report the NUMA node of GPU 0000:5e:00.0"),
        (-1, GPU, {0, 4}, f"the kernel does not report the NUMA node of GPU {GPU}"),
        (1, GPU, {0, 1}, f"none of CPUs 4-7, 12-15, those near GPU {GPU}, may be used"),
    ],
)
def test_a_rank_whose_gpu_is_unknown_stays_and_says_why(
    tmp_path: Path, gpu_node: int, bus_id: str | None, allowed: set[int], why_not: str
) -> None:
    root = machine(tmp_path, nodes=2, cores_a_node=4, threads=2, gpu_node=gpu_node)
    found = near_gpu(frozenset(allowed), bus_id, root)
    assert (found.cpus, found.why_not) == (allowed, why_not)


def test_threads_that_are_there_already_are_bound_too() -> None:
    """In a separate process, so that this one's affinity is unchanged."""
    code = """
import os, threading, torch
from pathlib import Path
from gbench.pix2pix.ranks.affinity import bind_rank
hold = threading.Event()
threading.Thread(target=hold.wait, daemon=True).start()
last = max(os.sched_getaffinity(0))
os.sched_setaffinity(0, {last})
bind_rank(torch.device("cpu"), 0, 1, True, None)
places = [os.sched_getaffinity(int(task.name)) == {last} for task in Path("/proc/self/task").iterdir()]
print(places, torch.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    places, _, threads = done.stdout.strip().rpartition(" ")
    assert "False" not in places and places.count("True") >= 2
    assert threads == "1"


def test_pin_false_leaves_all_as_it_is() -> None:
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    binding = bind_rank(torch.device("cpu"), 0, 1, False, None)
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == (before, threads)
    assert (binding.cpus, binding.why_not) == (before, "measure.pin is false")


@two_ranks
@two_cores
def test_two_ranks_run_on_cores_of_their_own(tmp_path_factory: pytest.TempPathFactory, small_launch: list[str]) -> None:
    run = two_ranks_once(tmp_path_factory, small_launch)
    answer, folder = run.answer, run.folder
    environment = folder.read("environment.json")
    assert environment is not None
    first, second = environment["rank"]
    assert not cpu_set(first["cpus"]) & cpu_set(second["cpus"])
    for one in (first, second):
        assert (one["bound"], one["why_not_bound"]) == (True, None)
        assert one["torch_threads"] == len(os.sched_getaffinity(0)) // 2
    assert answer.json["record"]["extra"]["rank"] == [first, second]
    assert "Rank 1, CPUs" in (folder.path / "report.html").read_text()


def test_the_users_threads_hold_and_pin_false_is_recorded(
    gbench: Callable[..., Answer], small_launch: list[str]
) -> None:
    arguments = ["launch", "pix2pix_resnet_6blocks", 4, 1, "FP32", *small_launch, "--steps", 2, "--warmup", 1]
    answer = gbench(*arguments, "--set", "measure.pin=false", "--json", OMP_NUM_THREADS="3,1")
    assert answer.code == 0, answer.err
    assert answer.json["record"]["extra"]["rank"] == [
        {
            "cpus": ranges(sorted(os.sched_getaffinity(0))),
            "bound": False,
            "why_not_bound": "measure.pin is false",
            "torch_threads": 3,
        }
    ]
    refused = gbench(*arguments, OMP_NUM_THREADS="all")
    assert (refused.code, "OMP_NUM_THREADS 'all' is no number of threads" in refused.err) == (2, True)
