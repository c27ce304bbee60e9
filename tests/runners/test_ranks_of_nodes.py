"""What starts the ranks of a node, and the variables that each rank gets."""

from __future__ import annotations

import os
import shlex

from gbench.pix2pix.start_ranks import Group
from gbench.runners.plan import Places, script_environment
from gbench.settings.request import Request
from gbench.settings.resolve import resolve

PLACES = Places("/run", "/data", "/configs", "/run.sh", "python3", "/cache")


def variables_of(**changes: object) -> dict[str, str]:
    values = {"model": "pix2pix_resnet_9blocks", "batch_size": 8, "device_count": 4, "precision": "FP32"}
    spec = resolve(Request(**{**values, "device": "cpu", "runner": "local", **changes}), {}).spec  # type: ignore[arg-type]
    return script_environment(spec, PLACES, 8)


def test_a_node_starts_its_own_ranks() -> None:
    variables = variables_of(nodes=2, node_rank=1, rdzv="10.0.0.1:29500")
    assert {name: variables[name] for name in ("DEVICE_COUNT", "NODES", "NODE_RANK")} == {
        "DEVICE_COUNT": "4",
        "NODES": "2",
        "NODE_RANK": "1",
    }
    assert variables["OMP_NUM_THREADS"] == "4"  # the cores over the ranks of this node
    worker = "start_ranks --nproc-per-node 2 --nnodes 2 --node-rank 1 --rdzv 10.0.0.1:29500 --run-dir /run"
    assert worker in variables["WORKER"]
    torchrun = shlex.split(variables["TORCHRUN"])
    place = ["--nnodes", "2", "--node-rank", "1", "--master-addr", "10.0.0.1", "--master-port", "29501"]
    assert torchrun[3 : 3 + len(place)] == place


def test_one_node_starts_them_as_before() -> None:
    variables = variables_of()
    assert "start_ranks --nproc-per-node 4 --run-dir /run" in variables["WORKER"]
    assert "--standalone" in variables["TORCHRUN"] and "--nproc-per-node 4" in variables["TORCHRUN"]


def test_ranks_are_numbered_over_nodes() -> None:
    group = Group(count=2, nodes=3, node=2, endpoint="[fd00::1]:29500")
    assert group.first == 4
    found = group.variables(5, port_reader=-1)
    assert {name: found[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")} == {
        "RANK": "5",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "6",
        "LOCAL_WORLD_SIZE": "2",
    }
    assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("fd00::1", "29500")


def test_ranks_of_one_node_learn_the_port_by_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, (4711).to_bytes(2, "big"))
    found = Group(count=1).variables(0, reader)
    assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("127.0.0.1", "4711")
    for end in (reader, writer):
        os.close(end)
