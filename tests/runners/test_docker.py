"""The docker runner's complete request, without an engine."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_engine import Engine
from fake_nvml import fake_nvml
from gbench.base.paths import project_file
from gbench.errors import InfrastructureError, UsageError
from gbench.runners.containers import Owner
from gbench.runners.docker import Caller, DockerRunner, compile_caches, container_request, split_lines
from gbench.settings.evaluation_spec import EvaluationRequest, of_run
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec, TuningConfig

CALLER = Caller(uid=1000, gid=100, groups=(100, 998), cores=16, owner=Owner("host", "boot", "pid:[1]", 42, 4711))


def make_spec(tmp_path: Path, **changes: Any) -> RunSpec:
    request = Request(
        "pix2pix_resnet_9blocks",
        batch_size=32,
        device_count=2,
        precision="FP32",
        datasets_dir="/datasets",
        image="registry:5000/team/bench:21.06",
        results_dir=str(tmp_path / "results"),
    )
    return resolve(request, {}).spec.model_copy(update={"run_id": "RUN", **changes})


def test_the_whole_request_for_gpus(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    request = container_request(spec, "sha256:abc", "bench:1-abc", tmp_path / "results" / "RUN", CALLER)
    environment = request.pop("environment")
    assert request == {
        "image": "sha256:abc",
        "command": ["bash", "/gbench/run_model.sh"],
        "name": "gbench-RUN",
        "labels": {
            "org.gbench.run-id": "RUN",
            "org.gbench.owner": "host boot pid:[1] 42 4711",
            "org.gbench.image": "bench:1-abc",
        },
        "user": "1000:100",
        "group_add": ["100", "998"],
        "working_dir": "/gbench/run",
        "mounts": [
            {"Target": "/data", "Source": "/datasets", "Type": "bind", "ReadOnly": True},
            {"Target": "/gbench/configs", "Source": spec.config_dir, "Type": "bind", "ReadOnly": True},
            {"Target": "/gbench/run_model.sh", "Source": spec.run_model_file, "Type": "bind", "ReadOnly": True},
            {"Target": "/gbench/run", "Source": f"{tmp_path}/results/RUN", "Type": "bind", "ReadOnly": False},
        ],
        "device_requests": [
            {"Driver": "", "Count": 0, "DeviceIDs": ["0", "1"], "Capabilities": [["gpu"]], "Options": {}}
        ],
        "network_mode": "bridge",
        "ipc_mode": "private",
        "shm_size": 64 * 2**30,
        "cap_drop": ["ALL"],
        "cap_add": [],
        "security_opt": ["no-new-privileges", "label=disable"],
        "read_only": True,
        "tmpfs": {"/tmp": "rw,exec,nosuid,nodev,mode=1777"},
        "ulimits": [
            {"Name": "stack", "Soft": 67108864, "Hard": 67108864},
            {"Name": "memlock", "Soft": -1, "Hard": -1},
        ],
        "init": True,
    }
    assert environment["RUN_DIR"] == "/gbench/run"
    assert environment["DATA_DIR"] == "/data"
    assert environment["PYTHON"] == "python3"
    assert (environment["HOME"], environment["USER"], environment["LOGNAME"]) == ("/tmp", "gbench", "gbench")
    assert "OMP_NUM_THREADS" not in environment
    assert not [value for value in environment.values() if str(tmp_path) in value], "a path of the host"


@pytest.mark.parametrize(
    ("given", "cdi", "ids"),
    [
        (None, [], ["0", "1"]),
        ("2,3", [], ["2", "3"]),
        (" 3 , 1,0", [], ["3", "1"]),  # the first DEVICE_COUNT
        ("GPU-1b,GPU-0a", [], ["GPU-1b", "GPU-0a"]),
        ("MIG-7c", [], ["MIG-7c"]),
        (None, ["0", "1", "all"], ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]),
        ("GPU-1,0", ["0", "1"], ["nvidia.com/gpu=1", "nvidia.com/gpu=0"]),
        ("GPU-1,0", ["0", "GPU-1"], ["nvidia.com/gpu=GPU-1", "nvidia.com/gpu=0"]),
        ("1,0", ["GPU-0", "GPU-1", "all"], ["nvidia.com/gpu=GPU-1", "nvidia.com/gpu=GPU-0"]),
        ("1,0", ["gpu0", "gpu1"], ["nvidia.com/gpu=gpu1", "nvidia.com/gpu=gpu0"]),
        (None, ["all"], ["nvidia.com/gpu=all"]),  # these two are all of the host's
        ("MIG-7c", ["0", "MIG-7c"], ["nvidia.com/gpu=MIG-7c"]),
    ],
)
def test_the_container_gets_the_chosen_gpus(
    given: str | None, cdi: list[str], ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml({}, {}))
    listed = [f"nvidia.com/gpu={name}" for name in cdi]
    spec = make_spec(tmp_path, cuda_visible_devices=given)
    request = container_request(spec, "i", "i", tmp_path, CALLER, listed)
    (gpus,) = request["device_requests"]
    assert gpus["DeviceIDs"] == ids
    assert (gpus["Driver"], gpus["Capabilities"]) == (("cdi", []) if cdi else ("", [["gpu"]]))
    assert "CUDA_VISIBLE_DEVICES" not in request["environment"]


@pytest.mark.parametrize(("given", "cdi"), [("MIG-7c", ["1"]), ("MIG-7c", ["all"]), ("2", ["0"]), ("1,0", ["0"])])
def test_no_cdi_name_is_made_up(given: str, cdi: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = {"MaxMigDeviceCount": 1, "MigDeviceHandleByIndex": lambda place: {"Name": "slice", "UUID": "MIG-7c"}}
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml({}, part))
    listed = [f"nvidia.com/gpu={name}" for name in cdi]
    spec = make_spec(tmp_path, cuda_visible_devices=given, device_count=given.count(",") + 1)
    with pytest.raises(InfrastructureError) as caught:
        container_request(spec, "i", "i", tmp_path, CALLER, listed)
    gpus = given.replace(",", ", ")
    assert caught.value.what == f"Docker lists no CDI device for each of the GPUs {gpus}, but {listed[0]}"
    assert caught.value.hint == (
        "choose among those with --gpus, or regenerate the CDI file: sudo nvidia-ctk cdi generate "
        "--device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml"
    )


def test_a_script_of_the_users_own_may_write_to_its_container(tmp_path: Path) -> None:
    request = container_request(make_spec(tmp_path, recipe="custom"), "i", "i", tmp_path, CALLER)
    assert "read_only" not in request and "tmpfs" not in request
    assert request["cap_drop"] == ["ALL"]


def test_root_reads_what_it_reads_on_the_host(tmp_path: Path) -> None:
    request = container_request(make_spec(tmp_path), "i", "i", tmp_path, replace(CALLER, uid=0))
    assert request["cap_add"] == ["DAC_OVERRIDE"]


@pytest.mark.parametrize("changes", [{"network": "host"}, {"nodes": 2}])
def test_several_nodes_and_those_who_ask_get_the_hosts_network(changes: dict[str, Any], tmp_path: Path) -> None:
    request = container_request(make_spec(tmp_path, **changes), "i", "i", tmp_path, CALLER)
    assert request["network_mode"] == "host"


def test_cdi_is_asked_for_where_the_engine_has_only_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for runtimes, driver in (({"runc": {}}, "cdi"), ({"runc": {}, "nvidia": {}}, "")):
        engine = Engine(Runtimes=runtimes, DiscoveredDevices=[{"ID": f"nvidia.com/gpu={index}"} for index in (0, 1)])
        monkeypatch.setattr("gbench.runners.docker.connect", lambda engine=engine: engine)
        described = DockerRunner(make_spec(tmp_path)).describe()
        assert described["container"]["device_requests"][0]["Driver"] == driver


def test_a_run_on_the_cpu_asks_for_no_gpu_and_shares_the_cores(tmp_path: Path) -> None:
    request = container_request(make_spec(tmp_path, device="cpu"), "i", "i", tmp_path, CALLER)
    assert request["device_requests"] == []
    assert [limit["Name"] for limit in request["ulimits"]] == ["stack"]
    assert request["environment"]["OMP_NUM_THREADS"] == "8"


def test_compiled_code_is_kept_in_the_cache_folder(tmp_path: Path) -> None:
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    mount = {"Target": "/gbench/cache", "Source": "/cache", "Type": "bind", "ReadOnly": False}
    spec = make_spec(tmp_path, cache_dir="/cache")
    requests = [
        container_request(one, "i", image, tmp_path, CALLER)
        for one, image in (
            (spec, "a"),
            (spec.replaced(config={"speed": {"compile": "blocks"}}), "a"),
            (spec.replaced(config={"speed": {"compile": "networks"}}), "b"),
            (spec.replaced(tuning=TuningConfig(), env={names[0]: "/mine"}), "a"),
        )
    ]
    assert [mount in request["mounts"] for request in requests] == [False, True, True, True]
    plain, one, other, mine = ([request["environment"].get(name) for name in names] for request in requests)
    assert plain == [None, None]
    assert all(folder.startswith("/gbench/cache/compiled/") for folder in (*one, *other))
    assert len({*one, *other}) == 4, "another image, other code"
    assert mine == ["/mine", one[1]]


def test_no_stranger_can_name_the_folder_of_compiled_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    for user in ("a", "b", "a"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / user))
        folders.append(compile_caches("image", "/cache")["TORCHINDUCTOR_CACHE_DIR"])
    assert folders[0] == folders[2] != folders[1]
    assert compile_caches("image", "/another")["TORCHINDUCTOR_CACHE_DIR"] not in folders
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")  # where no key can be kept, nor is compiled code
    assert compile_caches("image", "/cache") == {}


def test_only_a_cached_run_may_write_to_the_cache_folder(tmp_path: Path) -> None:
    plain = make_spec(tmp_path, cache_dir="/home/user/.cache/gbench")
    data = plain.config.data.model_copy(update={"source": "resident"})
    cached = plain.model_copy(update={"config": plain.config.model_copy(update={"data": data})})
    mount = {"Target": "/gbench/cache", "Source": "/home/user/.cache/gbench", "Type": "bind", "ReadOnly": False}
    for spec, given in ((plain, False), (cached, True)):
        request = container_request(spec, "i", "i", tmp_path, CALLER)
        assert (mount in request["mounts"]) == given
        assert request["environment"]["WORKER"].endswith(" --cache-dir /gbench/cache") == given


def test_describe_needs_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    described = DockerRunner(make_spec(tmp_path, from_image="base:1")).describe()
    assert described["image"].startswith("registry:5000/team/bench:21.06-")
    assert described["build"] == {
        "dockerfile": str(project_file("Dockerfile")),
        "args": {"FROM_IMAGE_NAME": "base:1"},
    }
    assert described["container"]["image"] == described["image"]
    assert described["container"]["mounts"][3]["Source"] == f"{tmp_path}/results/RUN"
    json.dumps(described)  # can be printed


def test_a_pinned_image_has_nothing_to_build(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, image="sha256:" + "a" * 64)
    described = DockerRunner(spec).describe()
    assert (described["image"], described["build"]) == (spec.image, None)
    with pytest.raises(UsageError, match="--rebuild has no effect"):
        DockerRunner(spec, rebuild=True)


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([], []),
        ([(b"one\ntwo\n", None)], ["one", "two"]),
        ([(b"on", None), (b"e\nt", None), (b"wo", None)], ["one", "two"]),
        ([(b"X\r\nXX\n", None)], ["X", "XX"]),
        ([(b"out ", None), (None, b"err "), (b"put\n", None), (None, b"or\n")], ["out put", "err or"]),
        ([(b"\xe2\x82", None), (b"\xac\n\xff\r\n\n", None)], ["\N{EURO SIGN}", "\N{REPLACEMENT CHARACTER}", ""]),
    ],
)
def test_lines_are_put_together_from_chunks(chunks: list[tuple[bytes | None, bytes | None]], lines: list[str]) -> None:
    assert list(split_lines(iter(chunks))) == lines


def test_an_evaluation_has_its_checkpoint_and_output_mounted(tmp_path: Path) -> None:
    weights, checkpoint, out = tmp_path / "alexnet.pth", tmp_path / "epoch-0200.pt", tmp_path / "out"
    asked = EvaluationRequest(checkpoint, out=out, lpips_weights=weights)
    spec = of_run(make_spec(tmp_path), asked, {}).spec
    request = container_request(spec, "sha256:abc", "bench:1-abc", spec.run_dir, CALLER)
    assert [(mount["Target"], mount["Source"], mount["ReadOnly"]) for mount in request["mounts"][3:]] == [
        ("/gbench/run", str(out), False),
        ("/gbench/inputs/checkpoint", str(checkpoint), True),
        ("/gbench/inputs/lpips_weights", str(weights), True),
    ]
    assert request["environment"]["WORKER"].endswith(
        "--run-dir /gbench/run --data-dir /data --inputs-dir /gbench/inputs"
    )
