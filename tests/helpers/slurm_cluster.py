"""A Slurm cluster of two nodes on this host for the tests, which write its configuration, start and stop it: as root.

Both nodes are slurmd processes of this host at 127.0.0.1. There is no accounting and no cgroup. Partition `main` has
both nodes; `urgent` has them too, and pre-empts the jobs of `main`, which get GRACE_S to end and are then requeued.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

NODES = ("n1", "n2")
GRACE_S = 60  # of a pre-empted job; a busy machine may need it to save a checkpoint
START_S = 60
MUNGE = Path("/run/munge")

CONF = """\
ClusterName=gbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CryptoType=crypto/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/linear
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0,requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
ReturnToService=2
KillWait=5
SlurmdTimeout=5
SlurmctldTimeout=30
MessageTimeout=30
MinJobAge=300
MailProg=/bin/true
SwitchType=switch/none
{nodes}
PartitionName=main Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=urgent Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF
"""


class Slurm:
    """One controller and two nodes, with their own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._munge: subprocess.Popen[bytes] | None = None
        self._controller: subprocess.Popen[bytes] | None = None
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        host = socket.gethostname()
        controller, *ports = _free_ports(1 + len(NODES))
        cores = os.cpu_count() or 1
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cores} State=UNKNOWN"
            for name, port in zip(NODES, ports, strict=True)
        ]
        (folder / "state").mkdir()
        self.conf = folder / "slurm.conf"
        self.conf.write_text(
            CONF.format(folder=folder, host=host, port=controller, nodes="\n".join(nodes), grace=GRACE_S)
        )

    @property
    def environ(self) -> dict[str, str]:
        """Variables with which Slurm's commands find this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Start all, and wait until both nodes are idle."""
        self._munge = _munged(self.folder)
        self._controller = self._daemon("slurmctld", "-D")
        for name in NODES:
            self.start_node(name)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until both nodes are up and have no job."""
        states = ("sinfo", "--noheader", "--Node", "--partition=main", "--format=%t")
        self.wait_until(lambda: self.command(*states).split() == ["idle"] * len(NODES))

    def start_node(self, name: str) -> None:
        self._nodes[name] = self._daemon("slurmd", "-D", "-N", name)

    def kill_node(self, name: str) -> None:
        """Kill a node's daemon and all that it started, as when its power fails."""
        daemon = self._nodes.pop(name)
        daemon.kill()
        daemon.wait()
        mine = self._processes()
        tasks = [pid for pid, environ in mine.items() if f"SLURMD_NODENAME={name}\0".encode() in environ]
        sessions = {_session(pid) for pid in tasks}
        # first those that would report the end of the tasks
        _kill(pid for pid in mine if pid not in tasks and _session(pid) in sessions)
        _kill(tasks)

    def _processes(self) -> dict[int, bytes]:
        """The processes that this cluster's daemons have started, with their environment."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it has ended
                found[int(path.parent.name)] = path.read_bytes()
        return {pid: environ for pid, environ in found.items() if f"SLURM_CONF={self.conf}\0".encode() in environ}

    def stop(self) -> None:
        """Cancel all jobs and stop all daemons."""
        with suppress(subprocess.SubprocessError, AssertionError):
            self.command("scancel", "--state=PENDING")
            self.command("scancel", "--user=root")
        for daemon in (*self._nodes.values(), self._controller, self._munge):
            if daemon is not None:
                daemon.terminate()
                with suppress(subprocess.TimeoutExpired):
                    daemon.wait(10)
                daemon.kill()
                daemon.wait()
        _kill(self._processes())

    def command(self, *argv: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(argv, env={**os.environ, **self.environ}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def job(self, job_id: str) -> dict[str, str]:
        """The fields of a job."""
        words = self.command("scontrol", "show", "job", "-o", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_until(self, holds: Callable[[], object], limit_s: float = START_S) -> None:
        """Wait until a function returns true. Raises AssertionError: it does not within the limit."""
        until_s = time.monotonic() + limit_s
        while True:
            with suppress(AssertionError):
                if holds():
                    return
            assert time.monotonic() < until_s, f"Slurm: {self.logs()}"
            time.sleep(0.2)

    def logs(self) -> str:
        """The end of each log."""
        return "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log")))

    def _daemon(self, *argv: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{argv[0]}.out").open("ab") as out:
            return subprocess.Popen(
                argv,
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )


def _munged(folder: Path) -> subprocess.Popen[bytes] | None:
    """munged, as its own user; None if this machine runs one."""
    if (MUNGE / "munge.socket.2").exists() and subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
        return None
    MUNGE.mkdir(mode=0o755, exist_ok=True)
    shutil.chown(MUNGE, "munge", "munge")
    with (folder / "munged.out").open("ab") as out:
        daemon = subprocess.Popen(
            ["setpriv", "--reuid=munge", "--regid=munge", "--init-groups", "munged", "--foreground", "--force"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    until_s = time.monotonic() + START_S
    while subprocess.run(["munge", "-n"], capture_output=True).returncode:
        assert daemon.poll() is None and time.monotonic() < until_s, (folder / "munged.out").read_text()
        time.sleep(0.1)
    return daemon


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _session(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return -1


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A running cluster; a test that kills a node starts it again."""
    folder = Path(tempfile.mkdtemp(prefix="gbench-slurm-"))
    cluster = Slurm(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)
