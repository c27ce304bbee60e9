"""Hosts on this machine: network namespaces joined by a bridge, each with a host name that does not resolve.

The commands need root, iproute2 and iptables. Everything is removed at the end of a test, however it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from support import Answer

PREFIX = "gbtest"


def ip(*words: object, check: bool = True) -> None:
    subprocess.run(["ip", *map(str, words)], check=check, capture_output=not check, timeout=300)


@dataclass
class Node:
    """A process on a host, and the files of its output."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    started_s: float = field(default_factory=time.monotonic)

    def wait(self, timeout_s: float = 200) -> Answer:
        code = self.process.wait(timeout_s)
        return Answer(code, self.out.read_text(errors="replace"), self.err.read_text(errors="replace"))

    def tree(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            one = psutil.Process(self.process.pid)
            return [one, *one.children(recursive=True)]
        return []

    def ranks(self) -> list[psutil.Process]:
        """The ranks, in order: the processes that the starter of ranks has forked and that have a rank's variables."""
        found = []
        for process in self.tree():
            with suppress(psutil.Error):
                words = process.cmdline()
                parent = process.parent()
                if (
                    "gbench.pix2pix.start_ranks" in words
                    and parent
                    and "gbench.pix2pix.start_ranks" in parent.cmdline()
                ):
                    found.append(process)
        return sorted(found, key=lambda one: one.pid)

    def kill(self) -> None:
        """SIGKILL all of it at once, as when its host loses power."""
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                process.kill()


class Hosts:
    """`count` hosts at 10.97.N.1 and on, N made of this process's id."""

    def __init__(self, count: int, folder: Path) -> None:
        self._name = f"{PREFIX}{os.getpid() % 10000}"
        self._net = f"10.97.{os.getpid() % 250}"
        self.folder, self.count, self.nodes = folder, count, list[Node]()

    def address(self, host: int) -> str:
        return f"{self._net}.{host + 1}"

    def space(self, host: int) -> str:
        return f"{self._name}-{host}"

    def set_up(self) -> None:
        ip("link", "add", f"{self._name}br", "type", "bridge")
        ip("link", "set", f"{self._name}br", "up")
        for host in range(self.count):
            space, outside = self.space(host), f"{self._name}v{host}"
            ip("netns", "add", space)
            ip("link", "add", outside, "type", "veth", "peer", "name", "eth7", "netns", space)
            ip("link", "set", outside, "master", f"{self._name}br")
            ip("link", "set", outside, "up")
            ip("-n", space, "address", "add", f"{self.address(host)}/24", "dev", "eth7")
            for interface in ("eth7", "lo"):
                ip("-n", space, "link", "set", interface, "up")

    def remove(self) -> None:
        for node in self.nodes:
            node.kill()
            with suppress(subprocess.TimeoutExpired):
                node.process.wait(10)
        for host in range(self.count):
            ip("netns", "delete", self.space(host), check=False)
            ip("link", "delete", f"{self._name}v{host}", check=False)
        ip("link", "delete", f"{self._name}br", check=False)

    def cut(self, host: int) -> None:
        """Cut the link of a host: its packets are lost, and no process is notified."""
        ip("link", "set", f"{self._name}v{host}", "down")

    @contextmanager
    def slow_network(self, host: int, rate: str) -> Iterator[None]:
        """Limit what a host sends to a rate, as tc writes it."""
        inside = ["ip", "netns", "exec", self.space(host), "tc", "qdisc"]
        shape = ["root", "tbf", "rate", rate, "burst", "256kb", "latency", "200ms"]
        subprocess.run([*inside, "add", "dev", "eth7", *shape], check=True, timeout=300)
        try:
            yield
        finally:
            subprocess.run([*inside, "delete", "dev", "eth7", "root"], check=True, timeout=300)

    def loss(self, host: int, probability: float) -> None:
        """Lose this share of the packets that a host sends, and of those that it receives."""
        chosen = ("-m", "statistic", "--mode", "random", "--probability", str(probability))
        for chain in ("INPUT", "OUTPUT"):
            command = ["ip", "netns", "exec", self.space(host), "iptables", "-A", chain, *chosen, "-j", "DROP"]
            subprocess.run(command, check=True, timeout=300)

    def limit(self, host: int, rate: str) -> None:
        """Limit what a host sends to this rate, such as 100mbit."""
        words = ("tc", "qdisc", "add", "dev", "eth7", "root", "tbf", "rate", rate, "burst", "128kb", "latency", "100ms")
        subprocess.run(["ip", "netns", "exec", self.space(host), *words], check=True, timeout=300)

    def start(self, host: int, arguments: Sequence[object], **variables: str) -> Node:
        """Start `gbench ARGUMENTS` on a host, in a folder of its own."""
        home = self.folder / f"host{host}"
        home.mkdir(exist_ok=True)
        number = len(self.nodes)
        out, err = home / f"out{number}", home / f"err{number}"
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$1"; shift; exec "$@"', "sh", f"box{host}.invalid"]
        command = [
            "ip",
            "netns",
            "exec",
            self.space(host),
            *named,
            sys.executable,
            "-m",
            "gbench",
            *map(str, arguments),
        ]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=home,
                env={**os.environ, "XDG_CACHE_HOME": str(home / "cache"), **variables},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        node = Node(process, out, err)
        self.nodes.append(node)
        return node


@contextmanager
def hosts(count: int, folder: Path) -> Iterator[Hosts]:
    """Hosts that are removed at the end of the context, with everything that runs on them."""
    made = Hosts(count, folder)
    made.remove()
    try:
        made.set_up()
        yield made
    finally:
        made.remove()
