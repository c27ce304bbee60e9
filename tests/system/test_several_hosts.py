"""Runs on several hosts: network namespaces on this machine, joined by a bridge; their names resolve nowhere."""

from __future__ import annotations

import signal
import time
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
    synth(folder / "synthetic", {"train": 24, "val": 0, "test": 2}, 72)
    return folder


def launch(data: Path, devices: int, *more: object, steps: int = STEPS, **settings: object) -> list[object]:
    values = {**TINY, **{name.replace("__", "."): value for name, value in settings.items()}}
    return [
        *("launch", "pix2pix_resnet_9blocks", 12, devices, "FP32", "false", "ignore_check", "--device", "cpu"),
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


def until_said(these: Hosts, host: int, text: str, times: int = 1) -> None:
    """Wait until a host has said something so many times."""
    end = time.monotonic() + 150
    while time.monotonic() < end:
        said = "".join(path.read_text(errors="replace") for path in (these.folder / f"host{host}").glob("err*"))
        if said.count(text) >= times:
            return
        time.sleep(0.1)
    raise AssertionError(f"host {host} does not say {text!r}: {said}")


def until_steps(these: Hosts) -> None:
    until_said(these, 0, "(epoch: ", times=2)


LONG: dict[str, Any] = {"steps": 100_000, "schedule__checkpoint_every": 0}


def test_four_hosts_share_a_folder_one_late_with_loss(
    tmp_path: Path, data: Path, gbench: Callable[..., Answer]
) -> None:
    alone = folder_of(gbench(*launch(data, 4)))
    with hosts(4, tmp_path) as these:
        these.loss(1, 0.05)
        arguments = launch(data, 4, *meeting_at(these), "--results", tmp_path / "shared")
        nodes = [these.start(host, arguments) for host in (3, 1, 0)]
        time.sleep(3)
        nodes.append(these.start(2, arguments))
        answers = [node.wait() for node in nodes]
    assert [one.code for one in answers] == [0] * 4, [one.err for one in answers]
    folder = folder_of(answers[2])
    require_equal(alone, folder)
    names = [one.spec().run_dir.parent for one in folder.of_further_nodes()]
    assert names == [folder.nodes] * 3  # made there, not sent


def test_a_host_that_never_comes(tmp_path: Path, data: Path) -> None:
    def arguments(rank: int, timeout: str) -> list[object]:
        return launch(data, 3, *meeting_at(these, "--node-rank", rank, "--rdzv-timeout", timeout))

    with hosts(3, tmp_path) as these:
        nodes = [these.start(2, arguments(2, "2m"))]
        until_said(these, 2, "waiting for node 0 at ")
        nodes.append(these.start(0, arguments(0, "4s")))
        answers = [node.wait() for node in nodes]
    assert [one.code for one in answers] == [4, 4]
    for one in answers:
        assert "1 of 3 nodes did not come to " in one.err
        assert "within 4 s: node 1; there are box" in one.err


def test_a_host_that_dies(tmp_path: Path, data: Path) -> None:
    with hosts(2, tmp_path) as these:
        nodes = start_all(these, launch(data, 2, *meeting_at(these), **LONG))
        until_steps(these)
        nodes[1].kill()
        answer = nodes[0].wait()
    assert answer.code == 4
    assert "node 1 (box1.invalid, " in answer.err and ") was not heard of for " in answer.err
    assert_kept(tmp_path)


def test_a_link_that_is_cut(tmp_path: Path, data: Path) -> None:
    with hosts(2, tmp_path) as these:
        nodes = start_all(these, launch(data, 2, *meeting_at(these), **LONG))
        until_steps(these)
        these.cut(1)
        answers = [node.wait() for node in nodes]
    assert [one.code for one in answers] == [4, 4]
    assert "node 1 (box1.invalid, " in answers[0].err and ") was not heard of for 30 s" in answers[0].err
    assert "node 0 (box0.invalid, " in answers[1].err
    (log,) = tmp_path.glob("host1/results/*/log.txt")
    assert "what node 1 (box1.invalid, " in log.read_text() and f"stays there in {log.parent} (" in log.read_text()
    assert_kept(tmp_path)


def test_a_rank_that_is_stopped(tmp_path: Path, data: Path) -> None:
    with hosts(2, tmp_path) as these:
        nodes = start_all(these, launch(data, 2, *meeting_at(these), **LONG, measure__hang_seconds=5))
        until_steps(these)
        nodes[1].ranks()[0].send_signal(signal.SIGSTOP)
        answers = [node.wait() for node in nodes]
    assert [one.code for one in answers] == [4, 4]
    assert "hung: no rank has made a step for " in answers[1].err
    assert "rank 1 (process " in answers[1].err and " is stopped (SIGSTOP)" in answers[1].err
    assert_kept(tmp_path)


def assert_kept(tmp_path: Path) -> None:
    """Node 0's folder has its steps and why it ended, and there is no record."""
    (folder,) = [RunFolder(path) for path in tmp_path.glob("host0/results/*")]
    assert len(folder.steps(0)) >= 1 and folder.host().failure
    assert not list(tmp_path.glob("host*/cndb/records/*.yaml"))


def test_a_fleet_with_a_slow_network(tmp_path: Path) -> None:
    with hosts(3, tmp_path) as these, these.slow_network(1, "100mbit"):
        check = ["check", "--fleet", "--device", "cpu", "--runner", "local", *meeting_at(these), "--json"]
        answers = [node.wait() for node in start_all(these, check, OMP_NUM_THREADS="1")]
    assert [one.code for one in answers] == [1] * 3, [one.err for one in answers]
    assert answers[0].json == answers[1].json == answers[2].json
    found = answers[0].json
    assert (1, "network") in [(one["node"], one["probe"]) for one in found["figures"] if one["named"]]
    assert found["exclude"].startswith("--exclude=") and "box1" in found["exclude"]
    assert {one["probe"] for one in found["figures"]} == {"gemm", "copy", "loader", "network"}
    assert sorted((link["first"], link["second"]) for link in found["links"]) == [(0, 1), (0, 2), (1, 2)]
