"""A run in containers of two hosts: network namespaces on this machine, each with a Docker engine of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import docker
import pytest
import torch
from support import Answer

from docker_engine import own_engine
from gbench.cndb.record_file import read_record
from gbench.runfolder.folder import RunFolder
from namespaces import Hosts, hosts

pytestmark = pytest.mark.system


@pytest.fixture
def two_hosts(
    docker_client: docker.DockerClient, base_image: str, gbench: Callable[..., Answer], tmp_path: Path
) -> Iterator[tuple[Hosts, list[str]]]:
    """Two hosts, and the address of the Docker engine of each, which has the project's image."""
    built = gbench("build", "--image", "gbench-test:pix2pix", "--from-image", base_image, timeout_s=600)
    assert built.code == 0, built.err
    images = Path(docker_client.info()["DockerRootDir"])
    with hosts(2, tmp_path) as these, ExitStack() as stack:
        spaces = [["nsenter", f"--net=/run/netns/{these.space(host)}"] for host in range(these.count)]
        yield these, [stack.enter_context(own_engine(images, space)) for space in spaces]


def test_containers_on_two_hosts_compute_what_those_on_one_do(
    two_hosts: tuple[Hosts, list[str]], small_launch: list[str], base_image: str
) -> None:
    these, engines = two_hosts
    arguments = ["launch", "pix2pix_resnet_9blocks", "4", "2", "FP32", *small_launch, "--runner", "docker"]
    arguments += ["--image", "gbench-test:pix2pix", "--from-image", base_image, "--steps", "4", "--warmup", "1"]
    arguments += ["--set", "schedule.checkpoint_every=1", "--json"]
    alone = these.start(0, arguments, DOCKER_HOST=engines[0]).wait()
    assert alone.code == 0, alone.err
    meeting = ["--nodes", "2", "--rdzv", f"{these.address(0)}:29500"]
    nodes = [these.start(host, [*arguments, *meeting], DOCKER_HOST=engines[host]) for host in (0, 1)]
    first, further = (node.wait() for node in nodes)
    assert (first.code, further.code) == (0, 0), (first.err, further.err)
    assert results(first) == results(alone)

    record = read_record(Path(first.json["paths"]["record"]))
    assert record.extra is not None and record.soft_info is not None
    image = record.soft_info.model_dump()
    environments = record.extra["nodes"]
    assert [one["node"]["interface"] for one in environments] == ["eth7", "eth7"]
    for engine in engines:  # the same image on both, and no container is left
        with closing(docker.DockerClient(base_url=engine)) as client:
            assert client.images.get(image["name"]).id == image["image_id"]
            assert client.containers.list(all=True) == []


def results(answer: Answer) -> tuple[list[dict[str, list[float]]], list[dict[str, Any]]]:
    """The losses of each rank, and the weights of both networks as bytes."""
    folder = RunFolder(Path(answer.json["paths"]["run"]))
    losses = [{name: list(of) for name, of in steps.losses.items()} for steps in folder.ranks()]
    weights = [torch.load(folder.checkpoints / f"latest_net_{net}.pth") for net in "GD"]
    return losses, [{key: value.numpy().tobytes() for key, value in state.items()} for state in weights]
