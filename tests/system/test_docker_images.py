"""The images of the docker runner, with the real engine: found, built, pulled, or why not."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import docker
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from docker_engine import make_base_image
from docker_runs import Driven, make_run_dir, make_spec, run
from gbench.base.paths import project_file
from gbench.errors import ExitCode, InfrastructureError
from gbench.runners.docker import DockerRunner
from gbench.runners.image import BASE_LABEL
from gbench.runners.plan import Outcome

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_is_left")]


def test_base_image_is_made_once_and_imports_torch(docker_client: docker.DockerClient, base_image: str) -> None:
    before = docker_client.images.get(base_image).id
    assert "exists; --force rebuilds it" in make_base_image(base_image)
    assert docker_client.images.get(base_image).id == before
    code = "import hatchling, torch, torchvision; print(float(torch.eye(3).sum()))"
    assert docker_client.containers.run(base_image, ["python3", "-c", code], remove=True) == b"3.0\n"


def test_image_is_built_once_and_keeps_the_torch_of_its_base(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    spec = make_spec(tmp_path, base_image, "python3 -c 'import torch, gbench; print(torch.__version__)'")
    runner, log = DockerRunner(spec, rebuild=True), list[str]()
    runner.prepare(log.append)
    assert any(line.startswith("Step 2/") for line in log)
    assert any(line.startswith("Successfully tagged gbench-test:pix2pix-") for line in log)
    facts = runner.facts()
    assert (facts["base_image"], facts["base_digests"]) == (base_image, [])
    assert facts["docker_version"] == docker_client.version()["Version"]
    assert docker_client.images.get(facts["image"]).id == facts["image_id"]

    again, log = DockerRunner(spec), []
    again.prepare(log.append)
    no_digest = f"warning: base image {base_image} has no digest: it comes from no registry, and can't be pinned"
    assert log == [f"image {facts['image']} exists, built from the same sources", no_digest]
    assert again.facts() == facts

    print_version = ["python3", "-c", "import torch; print(torch.__version__)"]
    version = docker_client.containers.run(base_image, print_version, remove=True).decode().strip()
    lines: list[str] = []
    assert again.run(make_run_dir(spec), lines.append) == Outcome(0)
    assert lines == [version]

    sbom = again.sbom()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom) is None
    found = {(one["purl"].partition("/")[0], one["name"]): one["version"] for one in json.loads(sbom)["components"]}
    assert found["pkg:pypi", "torch"] == version.partition("+")[0]  # as its wheel says
    assert ("pkg:deb", "bash") in found


COMPILE = """
import inspect, pathlib, subprocess, sys, tempfile
import triton, triton.backends.nvidia.driver as driver
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.build import _build

folder = pathlib.Path(tempfile.mkdtemp())
stub = folder / "stub.c"  # there is no driver here to link to
stub.write_text("")
for name in ("libcuda.so", "libcuda.so.1"):
    subprocess.run(["g++", "-shared", "-o", folder / name, stub], check=True)
source = pathlib.Path(driver.__file__).with_name("driver.c")
includes = getattr(driver, "include_dirs", None) or getattr(driver, "include_dir")
last = [[]] if "ccflags" in inspect.signature(_build).parameters else []
print(_build("cuda_utils", str(source), str(folder), [str(folder)], includes, driver.libraries, *last))

(folder / "kernel.py").write_text('''
import triton, triton.language as tl
@triton.jit
def add(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, at < n) + 1, at < n)
''')
sys.path.insert(0, str(folder))
from kernel import add
signature = {"x": "*fp32", "y": "*fp32", "n": "i32", "BLOCK": "constexpr"}
for capability in (70, 80, 90):
    source = ASTSource(fn=add, signature=signature, constexprs={"BLOCK": 128})
    print(capability, len(triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]) > 0)
"""


def test_triton_compiles_its_driver_and_kernels_in_the_image(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    """V100, A100, H100. Without the compiler of the image it does not."""
    runner = DockerRunner(make_spec(tmp_path, base_image, ""))
    runner.prepare(lambda line: None)
    image = runner.facts()["image_id"]
    lines = docker_client.containers.run(image, ["python3", "-c", COMPILE], remove=True, user="1000:1000")
    driver, *kernels = lines.decode().splitlines()
    assert driver.endswith(".so")
    assert kernels == ["70 True", "80 True", "90 True"]
    without = ["sh", "-c", 'rm "$(command -v gcc)"; exec python3 -c "$0"', COMPILE]
    with pytest.raises(docker.errors.ContainerError, match="Failed to find C compiler"):
        docker_client.containers.run(image, without, remove=True)


def test_docker_build_by_hand_makes_the_same_image(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    argument = f"FROM_IMAGE_NAME={base_image}"
    built = subprocess.run(
        ["docker", "build", "--tag", "gbench-test:by-hand", "--build-arg", argument, project_file("Dockerfile").parent],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    list_files = ["find", "/opt/gbench", "-type", "f", "-exec", "sha256sum", "{}", "+"]
    by_hand = docker_client.containers.run("gbench-test:by-hand", list_files, remove=True)
    runner = DockerRunner(make_spec(tmp_path, base_image, ""))
    runner.prepare(lambda line: None)
    by_gbench = docker_client.containers.run(runner.facts()["image_id"], list_files, remove=True)
    assert sorted(by_hand.splitlines()) == sorted(by_gbench.splitlines())


def test_a_new_base_under_the_old_name_is_noticed(docker_client: docker.DockerClient, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("ARG FROM_IMAGE_NAME\nFROM ${FROM_IMAGE_NAME}\nCOPY src /src\n")
    spec = make_spec(tmp_path, "gbench-test:tiny", "", dockerfile=str(dockerfile))
    facts = []
    for content in ("one", None, "two"):
        if content:
            tiny_base(docker_client, content)
        runner = DockerRunner(spec)
        runner.prepare(lambda line: None)
        facts.append(runner.facts())
    assert len({fact["image"] for fact in facts}) == 1
    assert facts[0]["image_id"] == facts[1]["image_id"] != facts[2]["image_id"]
    base = docker_client.images.get("gbench-test:tiny")
    assert docker_client.images.get(facts[2]["image_id"]).labels[BASE_LABEL] == base.id


def test_a_pinned_image_runs_as_it_is(docker_client: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    pinned = str(docker_client.images.get(base_image).id)
    spec = make_spec(tmp_path, base_image, "id -u", image=pinned, from_image=None)
    assert run(spec) == (Outcome(0), [str(os.getuid())])
    missing = spec.model_copy(update={"image": "sha256:" + "0" * 64})
    with pytest.raises(InfrastructureError, match=r"there is no image sha256:0+ on this machine"):
        DockerRunner(missing).prepare(lambda line: None)


@pytest.mark.parametrize(
    ("dockerfile", "sentence"),
    [
        (
            "ARG FROM_IMAGE_NAME\nFROM $FROM_IMAGE_NAME\nRUN echo why && exit 5\n",
            "a step of the Dockerfile ended with exit code 5",
        ),
        ("ARG FROM_IMAGE_NAME\nFROM $FROM_IMAGE_NAME\nRUNN true\n", "unknown instruction: RUNN"),
        ("FROM gbench-test-nowhere:1\n", "make-base-image.sh"),
    ],
)
def test_a_build_that_fails_says_why(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path, dockerfile: str, sentence: str
) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    base = base_image if "ARG" in dockerfile else None
    spec = make_spec(tmp_path, base_image, "", dockerfile=str(tmp_path / "Dockerfile"), from_image=base)
    log: list[str] = []
    with pytest.raises(InfrastructureError, match=re.escape(sentence)):
        DockerRunner(spec).prepare(log.append)
    assert ("why" in log) == ("echo why" in dockerfile)


@pytest.mark.parametrize("named", ["base", "pinned"])
def test_an_image_that_can_not_be_pulled(docker_client: docker.DockerClient, tmp_path: Path, named: str) -> None:
    nowhere = "127.0.0.1:9/gbench-test-nowhere@sha256:" + "0" * 64  # nothing listens there
    changes = {"image": nowhere, "from_image": None} if named == "pinned" else {}
    spec = make_spec(tmp_path, nowhere, "", **changes)
    with pytest.raises(
        InfrastructureError, match=r"can't pull the image 127\.0\.0\.1:9/.*make-base-image\.sh.*--from-image"
    ):
        DockerRunner(spec).prepare(lambda line: None)


def test_ctrl_c_in_a_build_leaves_nothing(docker_client: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("ARG FROM_IMAGE_NAME\nFROM $FROM_IMAGE_NAME\nRUN echo building && sleep 600\n")
    driven = Driven(make_spec(tmp_path, base_image, "", dockerfile=str(dockerfile)), tmp_path)
    driven.wait_for("building")
    driven.process.send_signal(signal.SIGINT)
    assert driven.finish() == (ExitCode.INTERRUPTED, "stopped by Ctrl-C; what the run had written is kept\n")
    for _ in range(100):  # the engine gives a build up when gbench's connection ends, and takes a moment
        if not docker_client.containers.list(all=True, ignore_removed=True):
            break
        time.sleep(0.1)


def test_facades_of_an_old_image_are_taken_out(docker_client: docker.DockerClient, tmp_path: Path) -> None:
    tiny_base(docker_client, "a pair", name="workspace/datasets/facades/train/1.jpg")
    page = project_file("docs/data.md").read_text()
    found, *commands = re.findall("^    (.*docker .*)", page.split("### From an old image")[1], re.MULTILINE)
    script = "\n".join(commands).replace("OLD_IMAGE", "gbench-test:tiny")
    script = script.replace(":FOLDER", ":/workspace/datasets/facades")
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True)
    assert found.startswith("docker run") and len(commands) == 3
    assert (tmp_path / "data" / "facades" / "train" / "1.jpg").read_text() == "a pair"
    assert docker_client.containers.list(all=True, filters={"name": "old-facades"}) == []


def tiny_base(client: docker.DockerClient, content: str, name: str = "content") -> None:
    """(Re)make the image gbench-test:tiny, which holds one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content.encode()))
    client.api.import_image_from_data(archive.getvalue(), repository="gbench-test", tag="tiny")
