"""What happens to a run on several hosts when one is late, missing, killed or cut off, or a rank is stopped.

The hosts are network namespaces of this machine. Needs root, iproute2 and iptables. Prints a table in Markdown:

    .venv/bin/python benchmarks/several_hosts.py
    .venv/bin/python benchmarks/several_hosts.py cut killed
"""

from __future__ import annotations

import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from command import parser_of

from gbench.datasets.synth import synth
from gbench.runfolder.folder import RunFolder
from namespaces import Hosts, hosts

TINY = ("data.load_size=72", "data.crop_size=64", "data.workers=0", "network.ngf=4", "network.ndf=4")
QUICK = ("schedule.print_every=1", "measure.peak_seconds=0", "measure.idle_seconds=0", "measure.pin=false")
FOLDER = Path(tempfile.mkdtemp(prefix="several-hosts-"))


def launch(these: Hosts, steps: int, *more: object) -> list[object]:
    return [
        *("launch", "pix2pix_resnet_9blocks", 12, these.count, "FP32", "false", "ignore_check", "--device", "cpu"),
        *("--runner", "local", "--dataset", "synthetic", "--datasets-dir", FOLDER, "--steps", steps, "--warmup", 1),
        *("--env", "OMP_NUM_THREADS=1", "--nodes", these.count, "--rdzv", f"{these.address(0)}:29500"),
        *(word for setting in (*TINY, *QUICK) for word in ("--set", setting)),
        *more,
    ]


def wait_for_steps(these: Hosts, text: str = "(epoch: ") -> None:
    while "".join(path.read_text() for path in these.folder.glob("host0/err*")).count(text) < 3:
        time.sleep(0.1)


def cut_lines(texts: list[str]) -> str:
    """The sentence of each host's end."""
    found = [re.search(r"gbench: error: (.*)", text) for text in texts]
    return "; ".join(f"host {host}: {one[1] if one else 'success'}" for host, one in enumerate(found))


def late(these: Hosts) -> float:
    nodes = [these.start(0, launch(these, 20))]
    time.sleep(20)
    nodes.append(these.start(1, launch(these, 20)))
    return time.monotonic()


def missing(these: Hosts) -> float:
    these.start(0, launch(these, 20, "--rdzv-timeout", "10s"))
    wait_for(these, "waiting at")
    return time.monotonic()


def wait_for(these: Hosts, text: str) -> None:
    while text not in "".join(path.read_text() for path in these.folder.glob("host0/err*")):
        time.sleep(0.05)


def lossy(these: Hosts) -> float:
    these.loss(1, 0.05)
    for host in range(2):
        these.start(host, launch(these, 20))
    return time.monotonic()


def training(these: Hosts, *more: object) -> float:
    for host in range(2):
        these.start(host, launch(these, 1_000_000, *more))
    wait_for_steps(these)
    return time.monotonic()


def cut(these: Hosts) -> float:
    training(these)
    these.cut(1)
    return time.monotonic()


def killed(these: Hosts) -> float:
    training(these)
    these.nodes[1].kill()
    return time.monotonic()


def killed_first(these: Hosts) -> float:
    training(these)
    these.nodes[0].kill()
    return time.monotonic()


def rank_killed(these: Hosts) -> float:
    training(these)
    these.nodes[1].ranks()[0].kill()
    return time.monotonic()


def stopped(these: Hosts) -> float:
    training(these, "--set", "measure.hang_seconds=10")
    these.nodes[1].ranks()[0].send_signal(signal.SIGSTOP)
    return time.monotonic()


CASES: dict[str, Callable[[Hosts], float]] = {
    "late": late,
    "missing": missing,
    "lossy": lossy,
    "cut": cut,
    "killed": killed,
    "killed_first": killed_first,
    "rank_killed": rank_killed,
    "stopped": stopped,
}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("cases", nargs="*", help="default: all")
    chosen = parser.parse_args().cases or list(CASES)
    synth(FOLDER / "synthetic", {"train": 24, "val": 0, "test": 2}, 72)
    print("| case | exit codes | seconds until each host had ended | what they said | kept |\n|---|---|---|---|---|")
    for name in chosen:
        home = FOLDER / name
        home.mkdir()
        with hosts(2, home) as these:
            since = CASES[name](these)
            ends: dict[int, float] = {}
            while len(ends) < len(these.nodes):
                for number, node in enumerate(these.nodes):
                    if number not in ends and node.process.poll() is not None:
                        ends[number] = time.monotonic() - since
                time.sleep(0.05)
            codes = ", ".join(str(node.process.returncode) for node in these.nodes)
            seconds = ", ".join(f"{ends[number]:.1f}" for number in sorted(ends))
            said = cut_lines([node.err.read_text(errors="replace") for node in these.nodes])
        print(f"| {name} | {codes} | {seconds} | {said} | {kept(home)} |", flush=True)


def kept(home: Path) -> str:
    """Steps in each run folder, and records."""
    folders = [RunFolder(path) for path in sorted(home.glob("host*/results/*"))]
    steps = [
        f"{len(folder.steps(rank))} steps of rank {rank}"
        for folder in folders
        for rank in range(2)
        if folder.stream(rank).exists()
    ]
    return ", ".join([*steps, f"{len(list(home.glob('host*/cndb/records/*.yaml')))} record"])


if __name__ == "__main__":
    main()
