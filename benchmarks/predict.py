"""Predictions of `gbench predict` against measured runs, on nodes that are network namespaces of this machine.

A node is a namespace with one rank, the run's own worker, which may use a fifth of a core (a quota of its cgroup), so
that more nodes do not take each other's processor; `tc tbf` limits what it sends. Needs root, iproute2 and a cgroup of
the processor. Each node keeps its batch. RECORD is the last of six runs on one node; --network is one on two nodes with
half the steps. Prints a table in Markdown:

    .venv/bin/python benchmarks/predict.py
    .venv/bin/python benchmarks/predict.py --rates 100mbit --nodes 2 --batches 1
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import traceback
from contextlib import ExitStack
from pathlib import Path

from command import parser_of

from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.compare.between_runs import between_runs
from gbench.compare.predict import network_of, node_of, predict
from gbench.datasets.synth import synth
from gbench.measure.summary import summarize_folder
from gbench.pix2pix.__main__ import main as worker
from gbench.pix2pix.slow_facts import write_slow_facts
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import HostFacts
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec
from namespaces import Hosts, hosts

SMALL = ("data.load_size=72", "data.crop_size=64", "data.workers=0", "network.ngf=16", "network.ndf=16")
QUICK = ("measure.peak_seconds=0", "measure.idle_seconds=0", "measure.pin=false", "measure.telemetry_hz=0")
PERIOD_US, QUOTA_US, WEIGHT = 10_000, 2_000, 4096
ALONE = 6  # runs on one node
WARMUP = 4
FOLDER = Path(tempfile.mkdtemp(prefix="predict-"))
VERSION_1 = Path("/sys/fs/cgroup/cpu")


class Quota:
    """A cgroup with a fifth of a core."""

    def __init__(self, name: str) -> None:
        old = VERSION_1.is_dir()
        self.path = (VERSION_1 if old else VERSION_1.parent) / name
        self.path.mkdir()
        if old:
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
            (self.path / "cpu.shares").write_text(str(WEIGHT))
        else:
            (self.path / "cpu.max").write_text(f"{QUOTA_US} {PERIOD_US}")

    def enter(self) -> None:
        (self.path / "cgroup.procs").write_text(str(os.getpid()))


def slow_facts_of(spec: RunSpec) -> bytes:
    """What a run collects of its software, collected once."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        write_slow_facts(spec, writer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    os.waitpid(child, 0)
    return text


def start_rank(these: Hosts, rank: int, quota: Quota, folder: RunFolder, facts: bytes) -> int:
    """Fork the worker of a node; returns its process id."""
    reader, writer = os.pipe()
    os.write(writer, facts)
    os.close(writer)
    if child := os.fork():
        os.close(reader)
        return child
    try:
        quota.enter()
        space = os.open(f"/run/netns/{these.space(rank)}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(space, 0):
            raise OSError(ctypes.get_errno(), "setns")
        world = str(these.count)
        os.environ.update(RANK=str(rank), WORLD_SIZE=world, LOCAL_RANK="0", LOCAL_WORLD_SIZE="1", MASTER_PORT="29500")
        os.environ.update(MASTER_ADDR=these.address(0), GLOO_SOCKET_IFNAME="eth7", TORCH_CPP_LOG_LEVEL="ERROR")
        os.dup2(os.open(folder.path / f"out{rank}.txt", os.O_WRONLY | os.O_CREAT), 1)
        code = worker(["--run-dir", str(folder.path), "--data-dir", str(FOLDER / "synthetic")], reader)
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def run(nodes: int, batch: int, rate: str | None, steps: int) -> Record:
    """The record of a run with `batch` images a node."""
    request = Request(
        model="pix2pix_resnet_9blocks",
        batch_size=batch * nodes,
        device_count=nodes,
        precision="FP32",
        device="cpu",
        runner="local",
        dataset="synthetic",
        datasets_dir=str(FOLDER),
        results_dir=str(FOLDER / "results"),
        steps=steps,
        warmup=WARMUP,
        env={"OMP_NUM_THREADS": "1"},
        settings=SMALL + QUICK,
    )
    folder = RunFolder.create(resolve(request, {}).spec)
    folder.write_host(HostFacts())
    facts = slow_facts_of(folder.spec())
    with hosts(nodes, FOLDER) as these, ExitStack() as stack:
        quotas = [Quota(f"predict-{os.getpid()}-{host}") for host in range(nodes)]
        for quota in quotas:
            stack.callback(quota.path.rmdir)
        for host in range(nodes if rate is not None else 0):
            these.limit(host, str(rate))
        ranks = [start_rank(these, rank, quota, folder, facts) for rank, quota in enumerate(quotas)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]
    assert codes == [0] * nodes, f"{folder.path}: {codes}"
    return record_of(folder, summarize_folder(folder))


def alone(batch: int, steps: int) -> Record:
    """The last of ALONE runs on one node, with the interval between them."""
    *earlier, own = (run(1, batch, None, steps) for _ in range(ALONE))
    found = between_runs(own, earlier)
    assert found is not None and own.extra is not None
    return own.model_copy(update={"extra": {**own.extra, "between_runs": found.values()}})


def step_s(record: Record) -> float:
    assert record.perf_data is not None
    return float(record.perf_data["step"]["mean_s"])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--nodes", default="2,4")
    parser.add_argument("--batches", default="1,4", help="images a node")
    parser.add_argument("--rates", default="none,200mbit,50mbit", help="of what each node sends; none: unlimited")
    parser.add_argument("--steps", type=int, default=24)
    given = parser.parse_args()
    counts, batches = ([int(one) for one in text.split(",")] for text in (given.nodes, given.batches))
    os.environ["OMP_NUM_THREADS"] = "1"
    synth(FOLDER / "synthetic", {"train": 24, "val": 0, "test": 2}, 72)
    records = {batch: alone(batch, given.steps) for batch in batches}
    print("| rate | batch a node | nodes | measured step, s | predicted | 95 % | network | inside |")
    print("|---|---|---|---|---|---|---|---|")
    inside = points = 0
    for rate in given.rates.split(","):
        limit = None if rate == "none" else rate
        probe = run(2, batches[0], limit, given.steps // 2)
        for batch in batches:
            predicted = predict(node_of(records[batch]), network_of(probe, records[batch]), counts)
            for found in predicted:
                measured_s = step_s(run(found.nodes, batch, limit, given.steps))
                fits = found.step_low_s <= measured_s <= found.step_high_s
                inside, points = inside + fits, points + 1
                interval = f"{found.step_low_s:.3g} to {found.step_high_s:.3g}"
                figures = f"{measured_s:.3g} | {found.step_s:.3g} | {interval} | {found.network_share:.0%}"
                print(f"| {rate} | {batch} | {found.nodes} | {figures} | {'yes' if fits else 'no'} |", flush=True)
    loads = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\n{inside} of {points} measured points are inside their intervals; load averages {loads}")


if __name__ == "__main__":
    main()
