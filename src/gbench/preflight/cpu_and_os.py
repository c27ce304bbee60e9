"""What disturbs or slows down a run on the host. One probe per rule of `check_table.py`, which gives the reason."""

import re
import shutil
from collections import Counter
from pathlib import Path

import psutil

from gbench.base.size import GIB, size_text
from gbench.machine import host
from gbench.preflight.busy import BUSY_PERCENT, busy_now
from gbench.preflight.rule import Command, Context, Finding
from gbench.preflight.tools import Unreadable, output_of
from gbench.runners.plan import SHM_BYTES

LEAST_SHM_GIB = 1.0  # 4 loader processes hold two batches each; one of 32 pairs of 256x256 in FP32 takes 48 MiB
LEAST_IRQBALANCE = (1, 5, 0)
CPUS = "sys/devices/system/cpu"
INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of Linux: any other one is a container's
NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"),
        *("orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs"),
        *("fuse.juicefs", "fuse.mount-s3", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    )
)


def cpu(context: Context) -> Finding:
    facts = host.cpu_facts()
    counts = ", ".join(f"{name} {facts[name] or 'not reported'}" for name in ("sockets", "cores", "threads"))
    return Finding("info", f"{facts['name']}: {counts}")


def governor(context: Context) -> Finding:
    files = (context.root / CPUS).glob("cpu[0-9]*/cpufreq/scaling_governor")
    governors = Counter(context.maybe(str(file.relative_to(context.root))) for file in files)
    del governors[""]  # of CPUs that are switched off
    if not governors:
        raise Unreadable("not visible: this kernel, or the virtual machine it runs in, shows no frequency scaling")
    found = f"{', '.join(f'{name} on {count}' for name, count in governors.most_common())} CPUs"
    if set(governors) == {"performance"}:
        return Finding("ok", found)
    tee = ("sh", "-c", 'echo performance | tee "$0"/cpu[0-9]*/cpufreq/scaling_governor', str(context.root / CPUS))
    return Finding("error", found, commands=(Command(tee),))


def busy_processes(context: Context) -> Finding:
    busy, seconds = busy_now()
    everyone = f"over {seconds:.1f} s{_how_far(context)}"
    if not busy:
        return Finding("ok", f"no other process above {BUSY_PERCENT:.0f} % of a CPU {everyone}")
    most = sorted(busy.items(), key=lambda item: -item[1])
    names = ", ".join(f"pid {process.pid} {_name(process)} ({percent:.0f} %)" for process, percent in most[:5])
    more = f", and {len(most) - 5} more" if len(most) > 5 else ""
    return Finding("error", f"{names}{more} {everyone}")


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "(ended)"


def _how_far(context: Context) -> str:
    try:
        inside = (context.root / "proc/self/ns/pid").readlink() != Path(INITIAL_PID_NAMESPACE)
    except OSError:
        inside = True
    return "; processes outside this container are not visible" if inside else ""


def irqbalance(context: Context) -> Finding:
    version = re.search(r"\d+(?:\.\d+)+", output_of("irqbalance", "--version"))
    if version is None:
        raise Unreadable("irqbalance does not report its version")
    old = tuple(map(int, version[0].split("."))) < LEAST_IRQBALANCE
    return Finding("error" if old else "ok", f"irqbalance {version[0]}")


def huge_pages(context: Context) -> Finding:
    return Finding("info", context.find("sys/kernel/mm/transparent_hugepage/enabled", r"\[(\w+)\]"))


def shared_memory(context: Context) -> Finding:
    if context.run.runner == "docker":
        return Finding("ok", f"the container has its own /dev/shm, of {size_text(SHM_BYTES)}")
    try:
        usage = shutil.disk_usage(context.root / "dev/shm")
    except OSError as error:
        raise Unreadable(f"can't read /dev/shm: {error.strerror}") from error
    found = f"{size_text(usage.free)} of {size_text(usage.total)} free in /dev/shm"
    return Finding("ok" if usage.free >= LEAST_SHM_GIB * GIB else "warning", found)


def dataset_mount(context: Context) -> Finding:
    folder = Path(context.spec.datasets_dir)
    # The last of several mounts on one point counts. max takes the first of equals, hence reversed.
    mounts = [line.split()[:3] for line in reversed(context.read("proc/mounts").splitlines())]
    above = [(_unescape(point), kind) for _, point, kind in mounts if folder.is_relative_to(_unescape(point))]
    point, kind = max(above, key=lambda mount: len(mount[0]), default=("", ""))
    if not point:
        raise Unreadable(f"/proc/mounts has no mount for {folder}")
    return Finding("warning" if kind in NETWORK_FILE_SYSTEMS else "ok", f"{folder} is on {point} ({kind})")


def _unescape(text: str) -> str:
    """A path of /proc/mounts, which writes a space as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
