"""How reliable `gbench check --fleet` is: in simulated fleets, and in real ones of four network namespaces.

    .venv/bin/python benchmarks/fleet.py --simulated
    .venv/bin/python benchmarks/fleet.py --real 100
    .venv/bin/python benchmarks/fleet.py --real 100 --kinds none network

A simulated fleet has nodes that differ, and rounds that vary, by normal logarithms. A real one has four namespaces of
this machine, one rank each, in one session of many probes. In turn none is slowed, one by `tc tbf` (its network) and
one by a quota of its control group (its processor), each node as often. Needs root, iproute2 and cgroup v1 for `cpu`.
Prints tables in Markdown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from command import at_least_one, parser_of

from gbench.measure.slow_nodes import FleetVerdict, judge_fleet
from gbench.pix2pix.fleet_probe import REPEATS, ROUNDS
from gbench.runfolder.fleet_times import NETWORK, FleetTimes
from namespaces import Hosts, hosts
from simulated_fleet import drawn_fleet

NODES = 4
KINDS = ("none", "network", "processor")
RATE = "200mbit"
QUOTA = 0.1  # of a core; each of four nodes on two cores has half of one
CPU = Path("/sys/fs/cgroup/cpu")
PORT = "29500"
BURSTS = ", 3 of 10 take 3 times as long"


def simulated(draws: int) -> None:
    """Count false names in fleets without a slow node, and right ones with one."""
    print("| nodes | differ by | rounds vary by | false names | 10 % | 20 % | 30 % | 50 % | network 50 % | 100 % |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(1)
    for nodes in (3, 4, 8, 16):
        for between, within, bursts in ((0.01, 0.02, 0.0), (0.02, 0.02, 0.0), (0.02, 0.1, 0.0), (0.02, 0.02, 0.3)):
            draw = partial(drawn_fleet, rng, nodes, between, within, ROUNDS, REPEATS, bursts=bursts)
            quiet = sum(bool(judge_fleet(draw()).slow_nodes) for _ in range(draws))
            cells = [f"{quiet / draws:.2%}"]
            for probe, by in (*(("gemm", by) for by in (0.1, 0.2, 0.3, 0.5)), (NETWORK, 0.5), (NETWORK, 1.0)):
                slowed = (judge_fleet(draw(slow=1, probe=probe, by=by)) for _ in range(draws // 5))
                cells.append(f"{sum(1 in verdict.slow_nodes for verdict in slowed) / (draws // 5):.0%}")
            rounds = f"{within:.0%}{BURSTS if bursts else ''}"
            print(f"| {nodes} | {between:.0%} | {rounds} | {' | '.join(cells)} |", flush=True)


def member() -> None:
    """One rank of the real fleet: probe whenever rank 0 reads a line, and print the verdict there."""
    import torch

    from gbench.pix2pix.fleet_probe import FleetProbe
    from gbench.pix2pix.ranks.group import joined

    torch.set_num_threads(1)
    with joined("cpu", NODES) as ranks, tempfile.TemporaryDirectory() as folder:
        probe = FleetProbe(ranks, Path(folder) / "images", deadline_s=300)
        while True:
            (line, *_) = ranks.gather(sys.stdin.readline() if ranks.is_first else None)
            if not line:
                return
            times = probe.run()
            if ranks.is_first:
                print(json.dumps(times.values()), flush=True)


@contextmanager
def slow_processor(ranks: list[subprocess.Popen[str]], node: int) -> Iterator[None]:
    group = CPU / f"gbench-fleet-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpu.cfs_quota_us").write_text(str(round(100_000 * QUOTA)))
        for task in Path(f"/proc/{ranks[node].pid}/task").iterdir():
            (group / "tasks").write_text(task.name)
        yield
    finally:
        for task in (group / "tasks").read_text().split():
            (CPU / "tasks").write_text(task)
        group.rmdir()


def real(tries: int, kinds: list[str]) -> None:
    """Count what is named in a real fleet, of so many tries with no slow node and with each kind of one."""
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder, hosts(NODES, Path(folder)) as these, ExitStack() as stack:
        ranks = [start(these, node) for node in range(NODES)]
        for rank in ranks:
            stack.callback(rank.wait, 60)
            stack.callback(rank.kill)
        for number in range(tries):
            node = number % NODES
            slowed = {
                "none": nullcontext(),
                "network": these.slow_network(node, RATE),
                "processor": slow_processor(ranks, node),
            }
            for kind in kinds:
                with slowed[kind]:
                    counts[kind, outcome(probe(ranks), set() if kind == "none" else {node})] += 1
            print(dict(counts), file=sys.stderr, flush=True)
    print("| slowed | tries | the node alone was named | not named | another node was named | a link alone |")
    print("|---|---|---|---|---|---|")
    for kind in kinds:
        cells = (counts[kind, result] for result in ("right", "missed", "false", "link"))
        print(f"| {kind} | {tries} | {' | '.join(map(str, cells))} |")


def outcome(verdict: FleetVerdict, slow: set[int]) -> str:
    named = set(verdict.slow_nodes)
    if named - slow:
        return "false"
    if any(link.named for link in verdict.links) and not named:
        return "link"
    return "right" if named == slow else "missed"


def start(these: Hosts, node: int) -> subprocess.Popen[str]:
    variables = {"RANK": node, "WORLD_SIZE": NODES, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "MASTER_PORT": PORT}
    return subprocess.Popen(
        ["ip", "netns", "exec", these.space(node), sys.executable, __file__, "--member"],
        env={
            **os.environ,
            **{name: str(value) for name, value in variables.items()},
            "MASTER_ADDR": these.address(0),
            "GLOO_SOCKET_IFNAME": "eth7",
            "OMP_NUM_THREADS": "1",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def probe(ranks: list[subprocess.Popen[str]]) -> FleetVerdict:
    first = ranks[0]
    assert first.stdin is not None and first.stdout is not None
    first.stdin.write("\n")
    first.stdin.flush()
    return judge_fleet(FleetTimes(**json.loads(first.stdout.readline())))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--simulated", type=at_least_one, nargs="?", const=1000, metavar="DRAWS")
    parser.add_argument("--real", type=at_least_one, nargs="?", const=100, metavar="TRIES")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="what is slowed; default: each")
    parser.add_argument("--member", action="store_true", help="a rank of the real fleet; started by --real")
    arguments = parser.parse_args()
    if arguments.member:
        member()
    if arguments.simulated:
        simulated(arguments.simulated)
    if arguments.real:
        real(arguments.real, list(arguments.kinds))


if __name__ == "__main__":
    main()
