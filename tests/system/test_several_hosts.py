"""Runs on several hosts: network namespaces on this machine, joined by a bridge; their names resolve nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Answer

from gbench.cndb.record_file import read_record
from gbench.datasets.synth import synth
from gbench.runfolder.folder import RunFolder
from namespaces import Hosts, Node, hosts

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("nodes")]
STEPS = 4
TINY = {
    "data.load_size": 72,
    "data.crop_size": 64,
    "data.workers": 0,
    "network.ngf": 4,
    "network.ndf": 4,
    "schedule.print_every": 1,
    "schedule.checkpoint_every": 1,
    "measure.peak_seconds": 0,
    "measure.idle_seconds": 0,
    "measure.pin": "false",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synth(folder / "synthetic", {"train": 16, "val": 0, "test": 2}, 72)
    return folder


def launch(data: Path, devices: int, *more: object, steps: int = STEPS, **settings: object) -> list[object]:
    values = {**TINY, **{name.replace("__", "."): value for name, value in settings.items()}}
    return [
        *("launch", "pix2pix_resnet_9blocks", 8, devices, "FP32", "false", "ignore_check", "--device", "cpu"),
        *("--runner", "local", "--dataset", "synthetic", "--datasets-dir", data, "--steps", steps, "--warmup", 1),
        *("--env", "OMP_NUM_THREADS=1", "--json"),
        *(word for key, value in values.items() for word in ("--set", f"{key}={value}")),
        *more,
    ]


def start_all(these: Hosts, arguments: list[object], **each: str) -> list[Node]:
    return [these.start(host, arguments, **each) for host in range(these.count)]


def meeting_at(these: Hosts, *more: object) -> list[object]:
    return ["--nodes", these.count, "--rdzv", f"{these.address(0)}:29500", *more]


def folder_of(answer: Answer) -> RunFolder:
    return RunFolder(Path(answer.json["paths"]["run"]))


def results(folder: RunFolder) -> tuple[list[dict[str, list[float]]], dict[str, Any]]:
    """The losses of each rank, and the weights of both networks."""
    losses = [{name: list(of) for name, of in steps.losses.items()} for steps in folder.ranks()]
    weights = {name: torch.load(folder.checkpoints / f"latest_net_{name}.pth") for name in "GD"}
    return losses, {f"{net}.{key}": value for net, state in weights.items() for key, value in state.items()}


def require_equal(one: RunFolder, other: RunFolder) -> None:
    """Bitwise: the losses of every rank, and all weights."""
    (losses, weights), (their_losses, their_weights) = results(one), results(other)
    assert losses == their_losses
    assert weights.keys() == their_weights.keys()
    assert all(torch.equal(weights[key], their_weights[key]) for key in weights)


def test_two_hosts_compute_what_one_does(tmp_path: Path, data: Path, gbench: Callable[..., Answer]) -> None:
    alone = folder_of(gbench(*launch(data, 2)))
    with hosts(2, tmp_path) as these:
        nodes = start_all(these, launch(data, 2, *meeting_at(these)))
        first, further = (node.wait() for node in nodes)
    assert (first.code, further.code) == (0, 0), (first.err, further.err)
    folder = folder_of(first)
    require_equal(alone, folder)
    assert [len(list(tmp_path.glob(f"host{host}/cndb/records/*.yaml"))) for host in (0, 1)] == [1, 0]
    record = read_record(Path(first.json["paths"]["record"]))
    assert record.dev_num == 2 and record.extra is not None
    assert [one["node"]["interface"] for one in record.extra["nodes"]] == ["eth7", "eth7"]
    assert [one["hardware"]["machine"]["host_name"] for one in record.extra["nodes"]] == [
        "box0.invalid",
        "box1.invalid",
    ]
    assert record.extra["spec"]["spec_version"] == 2 and record.extra["spec"]["nodes"] == 2
    assert "rdzv" not in record.extra["spec"]
    assert further.json["record"] == f"{first.json['paths']['record']} on node 0"
    (sent,) = folder.of_further_nodes()
    assert {"host.json", "log.txt", "spec.json", "steps-rank1.jsonl", "telemetry.jsonl"} <= {
        path.name for path in sent.path.iterdir()
    }
