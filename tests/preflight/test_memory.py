"""A run that does not fit into memory is refused before it starts, with the batch that does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from gbench.errors import InfrastructureError, OutOfMemory, UsageError
from gbench.machine.gpus import find_gpus
from gbench.pix2pix.step.rank_memory import rank_gib
from gbench.preflight.memory import at_most_gib, largest_batch
from gbench.preflight.rule import CheckedRun
from gbench.preflight.run_checks import RULES, require_fit, run_checks, with_errors_ignored
from gbench.runfolder.host_facts import CheckFacts
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]
Tree = Callable[[dict[str, str]], Path]
GIB = 1024**3
V100 = {"Name": "Tesla V100-PCIE-16GB", "MemoryInfo": SimpleNamespace(total=16 * GIB, free=15 * GIB, used=GIB)}
LIMITED = ("memory", "loader-processes")
FULL = ("data.load_size=256", "data.crop_size=256", "network.ngf=64", "network.ndf=64")


def need_gib(spec: RunSpec) -> float:
    """1 GiB, and half of one for each image."""
    return 1 + spec.batch_per_device / 2


def found(spec: RunSpec, root: Path = Path("/")) -> list[CheckFacts]:
    rules = [rule for rule in RULES if rule.id in LIMITED]
    return list(run_checks(CheckedRun.of(spec, need_gib), find_gpus(), rules, root))


@pytest.mark.parametrize(
    ("batch", "devices", "severity", "text"),
    [
        (
            28,
            1,
            "ok",
            "a rank needs about 15.0 GiB for 28 images; GPU 0 (Tesla V100-PCIE-16GB) has 15.0 GiB of 16.0 GiB free",
        ),
        (32, 1, "error", "15.0 GiB of 16.0 GiB free: it does not fit, BATCH_SIZE 28 does"),
        (64, 2, "error", "15.0 GiB of 16.0 GiB free: it does not fit, BATCH_SIZE 56 does"),
    ],
)
def test_a_gpu_has_room_for_its_rank(
    make_spec: MakeSpec, nvml: Callable[..., ModuleType], batch: int, devices: int, severity: str, text: str
) -> None:
    nvml({}, V100, V100 | {"Name": "not used", "MemoryInfo": SimpleNamespace(total=1, free=1, used=0)})
    spec = make_spec(batch_size=batch, device_count=devices, device="cuda", settings=FULL)
    spec = spec.replaced(cuda_visible_devices="1" if devices == 1 else "0,1")
    if devices == 1:
        text = text.replace("GPU 0", "GPU 1")
    (check,) = [check for check in found(spec) if check.id == "memory"]
    assert check.severity == severity
    assert check.found.endswith(text)


def test_a_gpu_with_more_than_enough_needs_no_count(make_spec: MakeSpec, nvml: Callable[..., ModuleType]) -> None:
    nvml(V100)
    spec = make_spec(batch_size=4, device="cuda", settings=FULL)

    def count(spec: RunSpec) -> float:
        pytest.fail("counted, which loads torch")

    (check,) = run_checks(CheckedRun.of(spec, count), find_gpus(), [rule for rule in RULES if rule.id == "memory"])
    assert check.severity == "ok"
    assert check.found.endswith("GiB; GPU 0 (Tesla V100-PCIE-16GB) has 15.0 GiB of 16.0 GiB free")


def test_without_a_gpu_the_need_is_said(make_spec: MakeSpec, nvml: Callable[..., ModuleType]) -> None:
    nvml()
    (check,) = [check for check in found(make_spec(batch_size=32, device="cuda")) if check.id == "memory"]
    assert (check.severity, check.found) == (
        "info",
        "a rank needs about 17.0 GiB for 32 images; no GPU here tells how much it has",
    )


def test_not_even_one_image(make_spec: MakeSpec, nvml: Callable[..., ModuleType]) -> None:
    nvml({"MemoryInfo": SimpleNamespace(total=GIB, free=GIB, used=0)}, V100)
    (check,) = [
        check for check in found(make_spec(batch_size=8, device_count=2, device="cuda")) if check.id == "memory"
    ]
    assert check.found.endswith("has 1.00 GiB of 1.00 GiB free: it does not fit, not even BATCH_SIZE 2 does")


def test_ranks_on_the_cpu_share_the_hosts_memory(make_spec: MakeSpec, tree: Tree) -> None:
    """And what they take is not there for loader processes."""
    machine = {"sys/devices/system/cpu/online": "0-63\n", "proc/self/status": "Cpus_allowed_list:\t0-63\n"}
    machine |= {"proc/self/cgroup": "0::/\n", "proc/meminfo": f"MemAvailable: {24 * 1024**2} kB\n"}
    sizes = ["data.load_size=256", "data.crop_size=256", "network.ngf=64", "data.workers=64"]
    spec = make_spec(batch_size=32, device_count=2, settings=sizes)
    loaders, memory = found(spec, tree(machine))
    assert memory.found == "a rank needs about 9.00 GiB for 16 images; 24.0 GiB are free for all ranks"
    assert loaders.severity == "error" and "--set data.workers=38" in loaders.found  # 24 - 18 GiB by 2 * 5/64
    machine["proc/meminfo"] = f"MemAvailable: {16 * 1024**2} kB\n"
    _, memory = found(spec, tree(machine))
    assert memory.found.endswith("16.0 GiB are free for all ranks: it does not fit, BATCH_SIZE 28 does")


@pytest.mark.parametrize("changes", [{"recipe": "custom"}, {"recipe": "evaluation"}, {"recipe": "tuning"}])
def test_other_runs_are_not_counted(make_spec: MakeSpec, changes: dict[str, str]) -> None:
    spec = make_spec().replaced(**changes)
    assert [check.id for check in found(spec)] == ["loader-processes"]
    assert rank_gib(spec) is None


def test_memory_alone_is_out_of_memory(make_spec: MakeSpec, nvml: Callable[..., ModuleType]) -> None:
    nvml(V100)
    spec = make_spec(batch_size=32, device="cuda", settings=FULL)
    with pytest.raises(OutOfMemory, match="BATCH_SIZE 28 does"):
        require_fit(found(spec))
    require_fit(with_errors_ignored(found(spec)))
    with pytest.raises(InfrastructureError, match=r"loader-processes: .*; memory: "):
        require_fit(found(spec.replaced(config={"data": {"workers": 100_000}})))


@pytest.mark.parametrize("free_gib", [0.5, 1.4, 1.5, 1.6, 7.0, 16.9])
def test_the_largest_batch_is_found_in_few_counts(make_spec: MakeSpec, free_gib: float) -> None:
    counts: list[int] = []

    def counted(spec: RunSpec) -> float:
        counts.append(spec.batch_size)
        return need_gib(spec)

    assert largest_batch(make_spec(batch_size=32), counted, free_gib) == max(0, int(2 * (free_gib - 1)))
    assert len(counts) < 12


@pytest.mark.parametrize("batch", [10**13, 10**18])
def test_a_batch_beyond_all_numbers_does_not_fit(make_spec: MakeSpec, batch: int) -> None:
    spec = make_spec(model="pix2pix_resnet_6blocks", batch_size=batch, device="cuda")
    assert 0 < largest_batch(spec, rank_gib, 80) < 10**6


@pytest.mark.parametrize("model", ["pix2pix_resnet_9blocks", "pix2pix_unet_256"])
@pytest.mark.parametrize("settings", [(), ("network.netD=n_layers", "network.n_layers_D=6"), ("network.ndf=128",)])
@pytest.mark.parametrize(("batch", "device"), [(1, "cpu"), (8, "cpu"), (1, "cuda"), (8, "cuda")])
def test_the_bound_without_torch_is_one(
    make_spec: MakeSpec, model: str, settings: tuple[str, ...], batch: int, device: str
) -> None:
    spec = make_spec(model=model, batch_size=batch, device=device, settings=[*FULL, *settings])
    need = rank_gib(spec)
    assert need is not None and need <= at_most_gib(spec)


def test_more_devices_than_images_suggest_no_batch(make_spec: MakeSpec) -> None:
    with pytest.raises(UsageError, match=r"evenly over 1000000000; take a DEVICE_COUNT of at most 32$"):
        make_spec(batch_size=32, device_count=10**9)
