"""All ranks of a run on this host, forked from one process that has loaded PyTorch:

    python -m gbench.pix2pix.start_ranks --nproc-per-node 2 --run-dir results/RUN_ID --data-dir data/facades

torchrun loads PyTorch in its agent and again in every rank. This process loads it once, before any thread and any CUDA
context exists, and every rank starts with it. Where a fork is not safe, this process becomes torchrun.

As under torchrun, the ranks meet in a TCPStore, and the first rank that fails ends the others. On one node the store is
of this process, at 127.0.0.1: the host's name need not resolve. On several nodes it is at `--rdzv`.
"""

import argparse
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from gbench.base.parent_death import die_with_parent
from gbench.pix2pix.end_watch import EndWatch
from gbench.pix2pix.hang_watch import HangWatch
from gbench.pix2pix.ranks.flight_records import flight_records_on_request
from gbench.pix2pix.ranks.heartbeat import Heartbeats
from gbench.runfolder.folder import RunFolder
from gbench.runners.plan import torchrun_argv, torchrun_nodes
from gbench.runners.stopping import STOPS
from gbench.runners.supervise import GRACE_S, end_descendants

ADDRESS = "127.0.0.1"
PORT_BYTES = 2


@dataclass(frozen=True)
class Group:
    """The ranks of this host among all ranks of the run."""

    count: int
    nodes: int = 1
    node: int = 0
    endpoint: str | None = None
    """HOST:PORT of the store; None: the one of this process, whose port comes through a pipe."""

    @property
    def first(self) -> int:
        return self.node * self.count

    def variables(self, rank: int, port_reader: int) -> dict[str, str]:
        """torchrun's variables of a rank. Waits for the port."""
        if self.endpoint is None:
            address, port = ADDRESS, str(int.from_bytes(os.read(port_reader, PORT_BYTES), "big"))
        else:
            address, _, port = self.endpoint.rpartition(":")
        return {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank - self.first),
            "WORLD_SIZE": str(self.nodes * self.count),
            "LOCAL_WORLD_SIZE": str(self.count),
            "MASTER_ADDR": address.strip("[]"),
            "MASTER_PORT": port,
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": "0",
        }


def main(argv: list[str]) -> int:
    """Run all ranks to their end; returns the exit code of the first that failed, 128 + signal for a signal."""
    parser = argparse.ArgumentParser(
        prog="python -m gbench.pix2pix.start_ranks",
        description="All ranks of a run on this host. Other options are those of python -m gbench.pix2pix.",
    )
    parser.add_argument("--nproc-per-node", type=int, required=True, help="number of ranks")
    parser.add_argument("--nnodes", type=int, default=1, help="number of hosts")
    parser.add_argument("--node-rank", type=int, default=0, help="number of this host")
    parser.add_argument("--rdzv", help="HOST:PORT of a TCPStore that all hosts reach; needed by several")
    parser.add_argument("--run-dir", required=True, help="run folder with spec.json; results go there")
    arguments, others = parser.parse_known_args(argv)
    count: int = arguments.nproc_per_node
    group = Group(count, arguments.nnodes, arguments.node_rank, arguments.rdzv)
    rank_argv = ["--run-dir", arguments.run_dir, *others]
    run_rank = load(count, Path(arguments.run_dir), group.node)
    if reason := unsafe_to_fork():
        print(f"gbench: torchrun starts the ranks: {reason}", flush=True)
        where = torchrun_nodes(group.nodes, group.node, group.endpoint)
        torchrun = torchrun_argv(sys.executable, count, where, arguments.run_dir, rank_argv)
        os.execv(sys.executable, torchrun)
    gc.freeze()  # a collection in a rank would write to, and so copy, the pages that all ranks share
    folder = RunFolder(Path(arguments.run_dir))
    with flight_records_on_request(folder):
        return run_ranks(folder, group, partial(run_rank, rank_argv))


def run_ranks(folder: RunFolder, group: Group, run: Callable[..., int]) -> int:
    """Fork all ranks of this host, and wait for them; returns as `main`."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not in its __all__

    port_reader, port_writer = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # until every rank is known
    heartbeats, numbers = Heartbeats(group.count, group.first), range(group.first, group.first + group.count)
    ranks = {fork_rank(rank, group, port_reader, heartbeats, run): rank for rank in numbers}
    try:
        for number in STOPS:
            signal.signal(number, _stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        if group.endpoint is None:
            store = TCPStore(ADDRESS, 0, is_master=True, wait_for_workers=False)
            os.write(port_writer, store.port.to_bytes(PORT_BYTES, "big") * group.count)
        watch = EndWatch(folder, ranks)
        watch.start()
        HangWatch(folder, ranks, heartbeats).start()
        return wait(ranks, watch.killed)
    finally:
        end_descendants(GRACE_S)


def load(count: int, run_dir: Path, node: int = 0) -> Callable[..., int]:
    """Import all that a rank needs, without starting CUDA; returns the function that runs a rank.

    As soon as it can, it starts the process that collects facts for rank 0, which is on node 0.
    """
    if count > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun
    look_without_cuda = "PYTORCH_NVML_BASED_CUDA_CHECK"
    unset = look_without_cuda not in os.environ
    os.environ.setdefault(look_without_cuda, "1")
    importlib.import_module("torch")
    pipe = None if node else collect_slow_facts(run_dir)
    worker = importlib.import_module("gbench.pix2pix.__main__")
    if unset:
        del os.environ[look_without_cuda]
    return partial(worker.main, facts_pipe=pipe)


def unsafe_to_fork() -> str | None:
    """Why ranks must not be forked from this process; None: they may."""
    import torch

    probe = os.fork()  # ends the threads of libraries that allow a fork: OpenBLAS's pool
    if probe == 0:
        os._exit(torch.cuda._is_in_bad_fork())
    if os.waitpid(probe, 0)[1]:
        return "the process that loaded PyTorch has started CUDA"
    threads = len(list(Path("/proc/self/task").iterdir()))
    return f"the process that loaded PyTorch has {threads} threads" if threads > 1 else None


def fork_rank(rank: int, group: Group, port_reader: int, heartbeats: Heartbeats, run: Callable[..., int]) -> int:
    """Fork one rank, with torchrun's variables, to run `run`; returns its process id.

    Args:
        port_reader: the pipe with the port of the store, which has threads and starts after the fork.
        heartbeats: of all ranks; `run` gets the row of this one.
    """
    from gbench.runfolder.worker_exit import leave

    if pid := fork():
        return pid
    os.environ |= group.variables(rank, port_reader)
    code = 1
    try:
        own = heartbeats.rank(rank)
        own.write_stacks_on_signal()
        code = run(heartbeat=own)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        leave(code)


def collect_slow_facts(run_dir: Path) -> int:
    """Start a process that collects the facts that rank 0 waits for; returns the pipe that they come from.

    If it fails, the pipe is empty, and rank 0 collects them itself. An evaluation, a tuning and a fleet need none.
    """
    reader, writer = os.pipe()
    if fork():
        os.close(writer)
        return reader
    with suppress(Exception):
        spec = RunFolder(run_dir).spec()
        if spec.evaluation is None and spec.tuning is None and spec.recipe != "fleet":
            from gbench.pix2pix.slow_facts import write_slow_facts

            write_slow_facts(spec, writer)
    os._exit(0)


def fork() -> int:
    """Fork a process that ends with this one and at its signals; returns its process id, 0 in the new one."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    return 0


def wait(ranks: dict[int, int], complete: Collection[int] = ()) -> int:
    """Wait until all ranks have succeeded (0) or one has failed: its exit code, 128 + signal for a signal.

    Args:
        ranks: rank by process id; those that have ended are removed.
        complete: process ids of ranks that succeeded although a signal ends them.
    """
    while ranks:
        pid, status = os.wait()
        rank = ranks.pop(pid, None)
        if rank is None:
            continue  # it collected facts; or an orphan of a rank, which the first process of a container gets
        code = 0 if pid in complete else os.waitstatus_to_exitcode(status)
        if code < 0:
            print(f"rank {rank} (process {pid}) ended by signal {signal.Signals(-code).name}", flush=True)
            return 128 - code
        if code:
            return code
    return 0


def _stop(number: int, frame: object) -> NoReturn:
    for stop in STOPS:
        signal.signal(stop, signal.SIG_IGN)  # may come again, from a terminal or a supervisor
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
