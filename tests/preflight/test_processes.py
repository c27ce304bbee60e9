"""More processes than the cores and the memory bear are refused before they start, with the number that would do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.errors import ExitCode
from gbench.machine.gpus import Gpus
from gbench.preflight.cards import Card
from gbench.preflight.processes import cpu_ranks, loader_processes
from gbench.preflight.rule import CheckedRun, Context, Finding
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]
Tree = Callable[[dict[str, str]], Path]
MACHINE = {
    "sys/devices/system/cpu/online": "0-7\n",
    "proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n",
    "proc/self/status": "Cpus_allowed_list:\t0-7\n",
    "proc/self/cgroup": "0::/job\n",
}
ALLOWED = {"proc/self/status": "Cpus_allowed_list:\t2-3\n"}
QUOTA = {"sys/fs/cgroup/job/cpu.max": "350000 100000"}
NO_CARDS: tuple[Card, ...] = ()
MODEL = "pix2pix_resnet_9blocks"


def found(probe: Callable[[Context], Finding | None], spec: RunSpec, root: Path) -> Finding | None:
    return probe(Context(CheckedRun.of(spec), Gpus(missing="none"), NO_CARDS, root))


@pytest.mark.parametrize(
    ("limits", "runner", "most"),
    [
        ({}, "local", 8),
        (ALLOWED, "local", 2),
        (QUOTA, "local", 3),
        ({"sys/fs/cgroup/job/cpu.max": "50000 100000"}, "local", 1),
        ({**ALLOWED, **QUOTA}, "docker", 8),  # a container is not in this process's group
        ({"sys/fs/cgroup/cpu.max": "400000 100000"}, "docker", 4),
    ],
)
def test_a_cpu_run_has_a_core_for_each_rank(
    make_spec: MakeSpec, tree: Tree, limits: dict[str, str], runner: str, most: int
) -> None:
    root = tree({**MACHINE, **limits})
    within = found(cpu_ranks, make_spec(batch_size=most, device_count=most, runner=runner), root)
    beyond = found(cpu_ranks, make_spec(batch_size=64 * most, device_count=64, runner=runner), root)
    assert within == Finding("ok", f"{most} rank{'s' if most > 1 else ''}, cores for {most}")
    assert beyond is not None and beyond.severity == "error"
    assert beyond.found == f"64 ranks, cores for {most}: DEVICE_COUNT {most} would do"


@pytest.mark.parametrize(
    ("batch", "recipe", "would_do"),
    [
        (16, "performance", "DEVICE_COUNT 8"),
        (12, "performance", "DEVICE_COUNT 6"),
        (11, "tuning", "DEVICE_COUNT 1"),
        (11, "evaluation", "--device-count 8"),  # its batch is per device
    ],
)
def test_the_number_that_would_do_shares_the_batch(
    make_spec: MakeSpec, tree: Tree, batch: int, recipe: str, would_do: str
) -> None:
    spec = make_spec(batch_size=batch, device_count=batch, runner="docker").model_copy(update={"recipe": recipe})
    beyond = found(cpu_ranks, spec, tree(MACHINE))
    assert beyond == Finding("error", f"{batch} ranks, cores for 8: {would_do} would do")


@pytest.mark.parametrize(
    ("files", "ranks", "batch", "crop", "most"),
    [
        ({}, 1, 4, 32, 32),
        ({}, 8, 8, 32, 4),  # the default, with a rank on each core
        (ALLOWED, 1, 4, 32, 8),
        # 2 batches of 32 pairs of 256x256 take 3/32 GiB, and each process 1/32 of its own
        ({"sys/fs/cgroup/job/memory.max": str(1024**3)}, 1, 32, 256, 8),
        ({"proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 1048576 kB\n"}, 2, 64, 256, 4),
    ],
)
def test_loader_processes_are_as_many_as_cores_and_memory_bear(
    make_spec: MakeSpec, tree: Tree, files: dict[str, str], ranks: int, batch: int, crop: int, most: int
) -> None:
    root = tree({**MACHINE, **files})

    def with_workers(workers: int, source: str = "real") -> Finding | None:
        settings = [f"data.load_size={crop}", f"data.crop_size={crop}", f"data.workers={workers}"]
        spec = make_spec(batch_size=batch, device_count=ranks, settings=settings, data_source=source)
        return found(loader_processes, spec, root)

    within, beyond, noise = with_workers(most), with_workers(100_000), with_workers(100_000, "synthetic")
    assert within is not None and within.severity == "ok"
    assert beyond is not None and beyond.severity == "error"
    assert beyond.found.endswith(f": --set data.workers={most} would do")
    assert noise is None  # which nobody loads


@pytest.mark.parametrize("verb", ["launch", "profile", "tune"])
@pytest.mark.parametrize(
    ("devices", "settings", "sentence"),
    [
        (512, [], ["cpu-ranks: 512 ranks, cores for", ": DEVICE_COUNT "]),
        (
            1,
            ["--set", "data.workers=100000"],
            ["loader-processes: 100000 loader processes, cores and", "--set data.workers="],
        ),
    ],
)
def test_nothing_starts_beyond_the_bounds(
    gbench: Callable[..., Answer],
    small_launch: list[str],
    tmp_path: Path,
    verb: str,
    devices: int,
    settings: list[str],
    sentence: list[str],
) -> None:
    if verb == "tune" and settings:
        return  # it loads one batch of noise
    answer = gbench(verb, MODEL, 512, devices, "FP32", *small_launch, *settings)
    assert answer.code == ExitCode.INFRASTRUCTURE
    said = answer.err.splitlines()[-1]
    for part in sentence:
        assert part in said
    # only a launch takes it
    assert ("`ignore_check` after DATABASE, or `ignore_check: true` in a spec file" in said) == (verb == "launch")
    assert said.endswith("; take a smaller DEVICE_COUNT" if devices > 1 else "N") or verb == "launch"
    assert not list(tmp_path.glob("results/*/environment.json"))


def test_a_dry_run_says_what_would_be_refused(gbench: Callable[..., Answer], small_launch: list[str]) -> None:
    for verb, more, refused in (("launch", [], True), ("launch", ["false", "ignore_check"], False), ("tune", [], True)):
        answer = gbench(verb, MODEL, 512, 512, "FP32", *more, *small_launch, "--dry-run", "--json")
        assert answer.code == 0 and answer.json["spec"]["device_count"] == 512
        assert ("warning: this machine would refuse it: cpu-ranks: 512 ranks, cores for" in answer.err) == refused


def test_ignore_check_starts_more_and_the_record_says_so(
    gbench: Callable[..., Answer], facades: Path, tmp_path: Path
) -> None:
    script = tmp_path / "mine.sh"  # starts no rank
    script.write_text(
        'echo "network:mine, batch size:512, device count:512, dpf mode:DDP, precision:FP32, '
        'throughput:12.5 img/s, device:Card X, dataset:synthetic" >> "$BENCHMARK_LOG"\n'
    )
    here = ["--device", "cpu", "--runner", "local", "--datasets-dir", facades, "--run-model-file", script]
    answer = gbench("launch", MODEL, 512, 512, "FP32", "false", "ignore_check", *here, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["record"]["extra"]["checks"]["cpu-ranks"].startswith("512 ranks, cores for")
