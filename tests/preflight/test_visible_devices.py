"""--gpus and CUDA_VISIBLE_DEVICES: the checked cards are the ones in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from support import Answer

from fake_nvml import NOT_SUPPORTED, process
from gbench.errors import InfrastructureError, UsageError
from gbench.machine.gpus import Gpu, Gpus, find_gpus, require_devices, visible, with_full_uuids
from gbench.runfolder.host_facts import CheckFacts
from gbench.runners.plan import Places, script_environment
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec

CheckOne = Callable[..., CheckFacts]
Nvml = Callable[..., ModuleType]
UUIDS = ("GPU-aa11", "GPU-aa22", "GPU-bb33", "GPU-cc44")
SLICES = tuple(Gpu(3, "NVIDIA H100 MIG 1g.10gb", uuid, (9, 0)) for uuid in ("MIG-d1", "MIG-d2"))
HOST = Gpus(
    tuple(Gpu(index, "NVIDIA H100", uuid, (9, 0), SLICES if index == 3 else ()) for index, uuid in enumerate(UUIDS)),
    "570",
)


@pytest.mark.parametrize(
    ("variable", "shown"),
    [
        (None, [0, 1, 2, 3]),
        ("1", [1]),
        ("2,0", [2, 0]),
        (" 3 , 1", [3, 1]),
        ("0,2,-1,1", [0, 2]),  # the first that names none ends the list
        ("1,7,0", [1]),
        ("GPU-bb33,GPU-aa11", [2, 0]),
        ("GPU-c", [3]),
        ("GPU-aa", []),  # names two
        ("1,1", []),
        ("", []),
        ("-1", []),
        ("MIG-aa11", []),
        ("MIG-d2", [3]),
        ("MIG-d2,MIG-d1", [3]),  # a process sees one slice
        ("MIG-d2,1", [3]),  # and no other device
        ("1,MIG-d2", [1]),
    ],
)
def test_the_run_sees_what_cuda_shows_it(variable: str | None, shown: list[int]) -> None:
    gpus = visible(HOST, variable)
    assert [gpu.index for gpu in gpus.devices] == shown
    assert sorted(gpu.index for gpu in (*gpus.devices, *gpus.hidden)) == [0, 1, 2, 3]
    assert (gpus.missing is None) == bool(shown)
    assert gpus.driver == "570"


def test_a_host_without_gpus_says_so_whatever_the_variable_is() -> None:
    none = Gpus(missing="NVML: Driver Not Loaded")
    assert visible(none, "0") == none


def local(make_spec: Callable[..., RunSpec], variable: str, device_count: int = 1, precision: str = "FP32") -> RunSpec:
    changes = {"device": "cuda", "device_count": device_count, "precision": precision}
    return make_spec().model_copy(update={**changes, "cuda_visible_devices": variable})


def test_what_the_run_needs_is_asked_of_the_cards_it_sees(make_spec: Callable[..., RunSpec], nvml: Nvml) -> None:
    nvml({"CudaComputeCapability": (7, 0)}, {})
    require_devices(local(make_spec, "1", precision="TF32"), find_gpus())
    with pytest.raises(UsageError, match=r"GPU 0 \("):
        require_devices(local(make_spec, "0", precision="TF32"), find_gpus())
    with pytest.raises(UsageError, match="DEVICE_COUNT 2: this host has 1 of '1'"):
        require_devices(local(make_spec, "1", device_count=2), find_gpus())
    with pytest.raises(InfrastructureError, match=r"'' names none of this host's 2.*; name GPUs that"):
        require_devices(local(make_spec, ""), find_gpus())
    with pytest.raises(InfrastructureError, match=r"'0,0' names one twice.*; name GPUs that"):
        require_devices(local(make_spec, "0,0"), find_gpus())
    for devices in (1, 2):  # CUDA would leave out 9 and all behind it
        with pytest.raises(UsageError, match=r"^GPU '9' of '1, 9,0': this host has GPUs 0 and 1; name GPUs that"):
            require_devices(local(make_spec, "1, 9,0", device_count=devices), find_gpus())
    with pytest.raises(UsageError, match=r"^GPU '5': this host has GPUs 0 and 1; name GPUs that"):
        require_devices(local(make_spec, "5"), find_gpus())
    require_devices(local(make_spec, "1,-1,9"), find_gpus())


def test_running_cards_are_checked_and_hidden_ones_are_not(check_one: CheckOne, nvml: Nvml) -> None:
    nvml({"ComputeRunningProcesses": [process(7, 1)]}, {"PersistenceMode": 0}, {})
    assert check_one("gpu-persistence", device_count=1, cuda_visible_devices="2,1").found == "GPU 2: on"
    assert check_one("gpu-persistence", cuda_visible_devices="2,1").found == "GPU 2: on; GPU 1: off"
    check = check_one("gpu-processes", cuda_visible_devices="2,1")
    assert check.severity == "warning"
    assert check.found == "GPU 1-2: no process; GPU 0: pid 7 (/usr/bin/job7, 1.00 GiB)"
    assert check_one("gpu-processes", cuda_visible_devices="0").severity == "error"
    assert "; not used: 0-1; driver" in check_one("gpu", cuda_visible_devices="2").found
    hidden = check_one("gpu", cuda_visible_devices="")
    assert hidden.severity == "error" and "CUDA_VISIBLE_DEVICES" in hidden.fix


@pytest.mark.parametrize(
    ("device", "runner", "option", "kept"),
    [
        ("cuda", "local", None, "3,1"),
        ("cuda", "local", "2,0", "2,0"),
        ("cuda", "docker", None, "3,1"),
        ("cuda", "docker", "2,0", "2,0"),
        ("cpu", "local", None, None),
    ],
)
def test_chosen_gpus_are_kept_and_reach_the_run(device: str, runner: str, option: str | None, kept: str | None) -> None:
    request = Request("pix2pix_resnet_9blocks", 4, 2, "FP32", device=device, runner=runner, cuda_visible_devices=option)
    resolved = resolve(request, {"CUDA_VISIBLE_DEVICES": "3,1"})
    assert resolved.spec.cuda_visible_devices == kept
    origin = "option" if option else "variable CUDA_VISIBLE_DEVICES" if kept else "default"
    assert resolved.origins["cuda_visible_devices"] == origin
    variables = script_environment(
        resolved.spec, Places("/run", "/data", "/configs", "/run.sh", "python", "/cache"), cores=8
    )
    assert variables.get("CUDA_VISIBLE_DEVICES") == (kept if runner == "local" else None)  # Docker: device requests
    assert variables.get("CUDA_DEVICE_ORDER") == ("PCI_BUS_ID" if device == "cuda" else None)


@pytest.mark.parametrize("given", ["", " ", "0,0", "0,", "1, 1", "a", "-1", "0 1", "all"])
@pytest.mark.parametrize("verb", ["launch", "check", "eval", "replay", "spec.yaml"])
def test_gpus_names_each_gpu_once(gbench: Callable[..., Answer], tmp_path: Path, verb: str, given: str) -> None:
    text = f"model: m\nbatch_size: 1\ndevice_count: 1\nprecision: FP32\ngpus: {given!r}\n"
    (tmp_path / "spec.yaml").write_text(text)
    arguments = ["launch", "spec.yaml"] if verb == "spec.yaml" else [verb, "--gpus", given]
    answer = gbench(*arguments)
    assert (answer.code, "a list of GPUs, each once, as `nvidia-smi -L` numbers" in answer.err) == (2, True), answer.err


def test_gpus_are_for_runs_on_gpus() -> None:
    request = Request("pix2pix_resnet_9blocks", 4, 2, "FP32", device="cpu", cuda_visible_devices="0")
    with pytest.raises(UsageError, match="--gpus has no effect on --device cpu"):
        resolve(request, {})


def test_slices_and_whole_uuids_come_from_the_driver(make_spec: Callable[..., RunSpec], nvml: Nvml) -> None:
    part = {"Name": "NVIDIA H100 MIG 1g.10gb", "UUID": "MIG-1"}
    mig = {"MaxMigDeviceCount": 2, "MigDeviceHandleByIndex": lambda place: [part, {"UUID": NOT_SUPPORTED}][place]}
    nvml({"UUID": "GPU-aa11"}, {"UUID": "GPU-bb22", **mig})
    gpus = find_gpus()
    assert [(one.index, one.name, one.uuid) for one in gpus.devices[1].slices] == [(1, part["Name"], "MIG-1")]
    pairs = {"GPU-bb,0": "GPU-bb22,0", "MIG-1": "MIG-1", "7": "7", None: None, "1,9,GPU-aa": "1,9,GPU-aa"}
    for given, whole in pairs.items():
        spec = make_spec().model_copy(update={"cuda_visible_devices": given})
        assert with_full_uuids(spec, gpus).cuda_visible_devices == whole
