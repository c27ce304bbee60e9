"""What a runner starts: one run script, with the run's variables, in the run folder.

Every runner starts the same script in the same way; only the paths differ (on the host, or at fixed mount points in a
container). The project's run scripts start the worker. A user's script may do anything, and reports
through `$BENCHMARK_LOG`.
"""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gbench.base.python import module_argv
from gbench.settings.spec import RunSpec

SHM_BYTES = 64 * 2**30  # /dev/shm of a container, as launch.sh
BENCHMARK_LOG_NAME = "benchmark.log"
PROCESSES_LOCK = ".processes.lock"  # in the run folder; held until the last process of a local run has ended
ANYWHERE = "127.0.0.1:1"  # where the nodes of a cluster's job meet: the task on each node puts the place in


@dataclass(frozen=True)
class Places:
    """Paths as the run script sees them."""

    run_dir: str
    datasets_dir: str
    config_dir: str
    run_script: str
    python: str
    cache_dir: str
    inputs_dir: str | None = None
    """Folder of the files that an evaluation reads, by name. None: they are at their paths on the host."""


def places_here(spec: RunSpec, run_dir: Path) -> Places:
    """The paths of a run in this Python environment: those of the spec."""
    return Places(
        run_dir=str(run_dir),
        datasets_dir=spec.datasets_dir,
        config_dir=spec.config_dir,
        run_script=spec.run_model_file,
        python=sys.executable,
        cache_dir=spec.cache_dir,
    )


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    """Its own, or 128 + the signal that ended it."""
    out_of_memory: bool = False


class Runner(Protocol):
    """Starts the run script somewhere and waits for it."""

    def describe(self) -> dict[str, Any]:
        """The exact request of `run`, for `--dry-run`; starts and builds nothing."""

    def facts(self) -> dict[str, Any]:
        """Where the run is (`runner`, and image name, id, digest), for the record. Valid after `prepare`."""

    def with_spec(self, spec: RunSpec) -> "Runner":
        """This runner, prepared if it is, for another spec of the same devices and image."""

    def prepare(self, on_line: Callable[[str], None]) -> None:
        """Prepare what `run` needs (the image). Raises InfrastructureError."""

    def run(self, run_dir: Path, on_line: Callable[[str], None]) -> Outcome:
        """Run the script to its end, passing on each output line; leaves nothing running, however it ends.

        Raises InfrastructureError: the script could not be started.
        """


def torchrun_nodes(nodes: int, node: int, endpoint: str | None) -> list[str]:
    """torchrun's options for where the ranks meet: on this host at a free port, or at the port after that of --rdzv."""
    if endpoint is None:
        return ["--standalone", "--local-addr", "127.0.0.1"]  # no name service may know this host's name
    address, _, port = endpoint.rpartition(":")
    place = ["--master-addr", address.strip("[]"), "--master-port", str(int(port) + 1)]
    return ["--nnodes", str(nodes), "--node-rank", str(node), *place]


def torchrun_argv(python: str, ranks: int, where: list[str], run_dir: str, options: list[str]) -> list[str]:
    """The worker under torchrun: one process per device. where: as `torchrun_nodes`."""
    return [
        *(*module_argv("torch.distributed.run", python), *where, "--nproc-per-node", str(ranks)),
        *("--log-dir", str(Path(run_dir) / "torchrun")),  # by default a folder in $TMPDIR, left there
        *("--no-python", *module_argv("gbench.pix2pix", python), *options),
    ]


def at_node(variables: Mapping[str, str], number: int, endpoint: str) -> dict[str, str]:
    """Those variables of a run script on several nodes that differ on node `number`, where all meet at `endpoint`."""
    address, _, port = endpoint.rpartition(":")
    values = {
        "--node-rank": str(number),
        "--rdzv": endpoint,
        "--master-addr": address.strip("[]"),
        "--master-port": str(int(port) + 1),
    }
    changed = {"NODE_RANK": str(number)}
    for name in ("WORKER", "TORCHRUN"):
        words = shlex.split(variables[name])
        changed[name] = shlex.join(values.get(before, word) for before, word in zip(["", *words], words, strict=False))
    return changed


def script_environment(spec: RunSpec, places: Places, cores: int | None) -> dict[str, str]:
    """The variables of a run script: launch.sh's names, and the run folder's paths.

    cores: CPU cores that the run may use; None: only the node that it gets knows.
    """
    python, ranks = places.python, str(spec.devices_per_node)
    data_dir = str(Path(places.datasets_dir) / spec.dataset_subdir)
    options = [
        *("--run-dir", places.run_dir, "--data-dir", data_dir),
        *(("--cache-dir", places.cache_dir) if spec.config.data.uses_cache else ()),
        *(("--inputs-dir", places.inputs_dir) if spec.evaluation and places.inputs_dir else ()),
    ]
    node = spec.node_rank or 0
    nodes = ["--nnodes", str(spec.nodes), "--node-rank", str(node), "--rdzv", str(spec.rdzv)] if spec.nodes > 1 else []
    where = torchrun_nodes(spec.nodes, node, spec.rdzv)
    # one process per device, all forked from one that has loaded torch
    worker = [*module_argv("gbench.pix2pix.start_ranks", python), "--nproc-per-node", ranks, *nodes, *options]
    variables = {
        "MODEL": spec.model,
        "BATCH_SIZE": str(spec.batch_size),
        "DEVICE_COUNT": str(spec.device_count),
        "PRECISION": spec.precision,
        "NODES": str(spec.nodes),
        "NODE_RANK": str(node),
        "DEVICE": spec.device,
        "DATASETS": spec.dataset,
        "DATASETS_DIR": places.datasets_dir,
        "DATA_DIR": data_dir,
        "CONFIG": places.config_dir,
        "CODE_LINK": spec.code_link,
        "RUN_DIR": places.run_dir,
        "BENCHMARK_LOG": str(Path(places.run_dir) / BENCHMARK_LOG_NAME),
        "PYTHON": python,
        "WORKER": shlex.join(worker),
        "TORCHRUN": shlex.join(torchrun_argv(python, spec.devices_per_node, where, places.run_dir, options)),
        "PYTHONUNBUFFERED": "1",
    }
    if spec.omp_num_threads is not None:
        variables["OMP_NUM_THREADS"] = str(spec.omp_num_threads)
    elif spec.device == "cpu" and cores is not None:
        # torchrun would set 1, and a single process would use all cores: share them
        variables["OMP_NUM_THREADS"] = str(max(1, cores // spec.devices_per_node))
    if spec.device == "cuda":
        variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # NVML's order: the run uses the GPUs that were checked
    if spec.cuda_visible_devices is not None and spec.runner == "local":  # a container has no other GPUs
        variables["CUDA_VISIBLE_DEVICES"] = spec.cuda_visible_devices
    return variables | spec.env  # never overrides the run's own variables, except OMP_NUM_THREADS
