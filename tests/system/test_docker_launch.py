"""`gbench launch` in a real container, as a user runs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from support import Answer

from drawn_upstream import draw
from gbench.base.paths import project_file
from gbench.errors import ExitCode
from gbench.runfolder.folder import RunFolder
from gbench.runners.containers import RUN_ID_LABEL

pytestmark = pytest.mark.system


@pytest.fixture
def in_docker(small_launch: list[str], base_image: str) -> list[str]:
    """Arguments of a small launch in a container, two processes on the CPU."""
    arguments = ["launch", "pix2pix_resnet_9blocks", "4", "2", "FP32", *small_launch, "--runner", "docker"]
    return [*arguments, "--image", "gbench-test:pix2pix", "--from-image", base_image]


def events_of(client: docker.DockerClient, run_id: str, since: float) -> list[dict[str, Any]]:
    """The engine's events for the run's containers."""
    filters = {"type": "container", "label": f"{RUN_ID_LABEL}={run_id}"}
    return list(client.events(since=int(since), until=int(time.time()) + 1, filters=filters, decode=True))


def test_a_launch_in_a_container_is_a_launch(
    docker_client: docker.DockerClient, in_docker: list[str], gbench: Callable[..., Answer], tmp_path: Path
) -> None:
    start = time.time()
    cache = tmp_path / "cache"
    own = str(tmp_path)  # with the key of the mark
    given = ("--steps", 6, "--warmup", 2, "--data", "cached", "--cache-dir", cache)
    answer = gbench(*in_docker, *given, XDG_CACHE_HOME=own)
    assert answer.code == 0, answer.err
    (path,) = (tmp_path / "results").iterdir()
    folder = RunFolder(path)
    for rank in (0, 1):
        steps = list(folder.steps(rank))
        assert [(step.step, step.warmup, step.images) for step in steps] == [(n, n <= 2, 2) for n in range(1, 7)]
    (record_path,) = (tmp_path / "cndb" / "records").iterdir()
    record = yaml.safe_load(record_path.read_text())
    assert (record["dev_num"], record["dist_type"], record["train_type"]) == (2, "DDP", "FP32")
    assert record["perf_data"]["throughput"] > 0

    # decoded pictures are kept on the host, as the caller's, for the next run
    assert record["extra"]["data"]["source"] == "cached"
    (pairs,) = cache.glob("*.pairs")
    assert pairs.stat().st_uid == os.getuid()

    # the image that the record names is the one that ran, and of the run no container is left
    events = events_of(docker_client, path.name, start)
    assert [event["Action"] for event in events if event["Action"] in ("create", "start", "destroy")] == [
        "create",
        "start",
        "destroy",
    ]
    assert {event["from"] for event in events} == {record["soft_info"]["image_id"]}
    assert docker_client.images.get(record["soft_info"]["name"]).id == record["soft_info"]["image_id"]
    assert {file.stat().st_uid for file in path.rglob("*")} == {os.getuid()}

    # the record alone is enough to run it again, in that very image and in no other
    again = gbench("replay", record_path, "--json", "--results", "again", XDG_CACHE_HOME=own)
    assert again.code in (ExitCode.OK, ExitCode.FAILED, ExitCode.INCONCLUSIVE), again.err
    (new_path,) = again.json["new"]
    assert yaml.safe_load(Path(new_path).read_text())["soft_info"]["image_id"] == record["soft_info"]["image_id"]
    gone = {**record["soft_info"], "image_id": "sha256:" + "0" * 64}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**record, "soft_info": gone}))
    refused = gbench("replay", tmp_path / "other.yaml", XDG_CACHE_HOME=own)
    assert refused.code == ExitCode.USAGE
    assert "not on this machine" in refused.err.splitlines()[-1]


def test_ctrl_c_in_a_launch_leaves_no_container(
    docker_client: docker.DockerClient, in_docker: list[str], tmp_path: Path
) -> None:
    start = time.time()
    command = [sys.executable, "-m", "gbench", *in_docker, "--steps", "100000", "--set", "schedule.print_every=1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    for line in process.stdout:
        if "(epoch: 1" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=300)
    assert process.returncode == ExitCode.INTERRUPTED, rest
    assert "stopped by Ctrl-C" in rest
    (path,) = (tmp_path / "results").iterdir()
    assert [event["Action"] for event in events_of(docker_client, path.name, start)][-1] == "destroy"
    assert len(list(RunFolder(path).steps(0))) >= 1
    assert not (tmp_path / "cndb").exists()


def test_a_convergence_run_and_an_evaluation_in_containers(
    docker_client: docker.DockerClient, in_docker: list[str], gbench: Callable[..., Answer], tmp_path: Path
) -> None:
    """The run's own evaluation, and that of its bare weights, mounted into the container as a single file."""
    short = ["--set", "schedule.epochs=1", "--set", "schedule.epochs_decay=1", "--set", "schedule.checkpoint_every=1"]
    answer = gbench("converge", *in_docker[1:], *short, "--json", timeout_s=400)
    assert answer.code == 0, answer.err
    run = Path(answer.json["paths"]["run"])
    metrics = answer.json["evaluation"]["metrics"]
    assert {"MAE", "PSNR", "SSIM"} <= answer.json["record"]["metric_data"].keys()
    assert (run / "losses.svg").is_file() and (run / "evaluations" / "final" / "gallery.html").is_file()
    assert {file.stat().st_uid for file in run.rglob("*")} == {os.getuid()}

    weights = tmp_path / "latest_net_G.pth"
    weights.write_bytes((run / "checkpoints" / "latest_net_G.pth").read_bytes())
    unscaled = ["--set", "data.load_size=32"]  # as a run's own evaluation, which takes no margin to crop from
    bare = gbench("eval", weights, "--model", "pix2pix_resnet_9blocks", *in_docker[5:], *unscaled, "--json")
    assert bare.code == 0, bare.err
    assert bare.json["evaluation"]["metrics"] == metrics
    label = {"label": f"{RUN_ID_LABEL}={run.name}"}
    assert docker_client.containers.list(all=True, filters=label) == []


def test_upstreams_code_in_a_container_is_next_to_the_dataset(
    docker_client: docker.DockerClient,
    in_docker: list[str],
    gbench: Callable[..., Answer],
    facades: Path,
    tmp_path: Path,
) -> None:
    """Which is mounted read-only; the image has no git."""
    data = tmp_path / "data"
    shutil.copytree(facades, data / "synthetic")
    commit = draw(data / "pix2pix")
    script = project_file("scripts/pt-pix2pix-upstream.sh")
    arguments = ["launch", "pix2pix_resnet_9blocks", "4", "1", *in_docker[4:], "--datasets-dir", data, "--json"]
    link = f"https://example.org/pix2pix/blob/{commit}/train.py"
    answer = gbench(*arguments, "--run-model-file", script, "--code-link", link, "--steps", 6, "--warmup", 2)
    assert answer.code == 0, answer.err
    record = answer.json["record"]
    assert record["perf_data"]["throughput"] > 0 and record["extra"]["precision_flags"]["ran"] == "FP32"
    assert record["soft_info"]["image_id"] and record["soft_info"]["pytorch_version"]
