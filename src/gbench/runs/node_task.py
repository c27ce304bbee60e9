"""The task of a cluster's job on one of its nodes: check the node, note what it is, run the run script.

The nodes of a job meet as those of `gbench launch --nodes` do. All write into the one run folder; `nodes/` in it has
the facts of the further ones.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib import metadata

from gbench.base.files import make_folder
from gbench.base.utc import utc_now
from gbench.machine import provenance
from gbench.machine.gpus import Gpus, find_gpus
from gbench.runfolder.error_file import forget_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import DatasetFacts, HostHardware
from gbench.runfolder.node_facts import NodeAttempt, NodeFacts, read_node, write_node
from gbench.runners.plan import at_node
from gbench.runners.supervise import GRACE_S
from gbench.runs.attempt import checks_here
from gbench.runs.meeting import Meeting
from gbench.runs.node_differences import compare_nodes
from gbench.settings.spec import RunSpec


def run_on_node(
    spec: RunSpec,
    folder: RunFolder,
    command: list[str],
    stopped: Sequence[int] = (),
    dataset: DatasetFacts | None = None,
) -> int:
    """Run a command as node `node_rank` of a job, whose nodes meet at `rdzv`.

    Args:
        stopped: not empty once the node is asked to stop, of which the command would not hear.
        dataset: its facts, if the host that submitted the job can't see it.

    Returns its exit code, negative if a signal ended it. Raises GbenchError: the node is unfit; or as `run_among`.
    """
    gpus, first = find_gpus(), spec.node_rank == 0
    hardware = HostHardware(**provenance.hardware(gpus))
    if first:
        forget_error(folder)
        note_start(folder, hardware, dataset)
    checks = checks_here(spec.replaced(runner="local"), gpus, print)
    if first:
        write_node(folder, read_node(folder).changed(checks=checks))
    if spec.device == "cpu":
        threads = max(1, len(os.sched_getaffinity(0)) // spec.devices_per_node)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # as the other runners
    if stopped:
        return -signal.SIGTERM
    return run_among(spec, folder, gpus, hardware, command) if spec.nodes > 1 else run_command(command)


def note_start(folder: RunFolder, hardware: HostHardware, dataset: DatasetFacts | None) -> None:
    """Note this start, and what the first node is."""
    times = NodeAttempt(started_utc=utc_now(), started_s=time.perf_counter(), wall_s=None)
    write_node(folder, NodeFacts(hardware=hardware, dataset=dataset, attempts=[*read_node(folder).attempts, times]))


def note_end(folder: RunFolder, saved: bool) -> NodeFacts:
    """Note the end of this start."""
    facts = read_node(folder)
    *earlier, last = facts.attempts
    facts = facts.changed(attempts=[*earlier, last.changed(wall_s=time.perf_counter() - last.started_s, saved=saved)])
    write_node(folder, facts)
    return facts


def last_saved(folder: RunFolder) -> int:
    """When the last checkpoint was written, in nanoseconds since 1970; 0 without one."""
    return max((file.stat().st_mtime_ns for file in folder.checkpoints.glob("*")), default=0)


def run_command(command: list[str]) -> int:
    """Run a command to its end; its exit code. If this is interrupted, the command ends too."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE_S + 1)  # it gives its own processes GRACE_S
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_among(spec: RunSpec, folder: RunFolder, gpus: Gpus, hardware: HostHardware, command: list[str]) -> int:
    """Run a command as one node of several. Raises GbenchError: a node is missing, was lost, ended or differs."""
    with Meeting(spec, print) as meeting:
        compare(meeting, spec, folder, gpus, hardware)
        if meeting.here.interface is not None:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", meeting.here.interface)
        os.environ.update(at_node(os.environ, meeting.number, meeting.endpoint))
        with meeting.watched():
            return run_command(command)


def compare(meeting: Meeting, spec: RunSpec, folder: RunFolder, gpus: Gpus, hardware: HostHardware) -> None:
    """Wait until every node is ready, note what each is, and compare them. Raises UsageError: they differ too much."""
    assert spec.cluster is not None, "the task of a cluster's job"
    image_is_known = spec.slurm is not None and spec.slurm.container != "bare"
    torch = None if image_is_known else metadata.version("torch")
    host = folder.host().changed(hardware=hardware)
    facts, differing = compare_nodes(meeting, host, gpus, torch, spec.cluster.allow)
    if meeting.number == 0:
        for text in differing:
            print(f"warning: {text}", flush=True)
        write_node(folder, read_node(folder).changed(node=facts.node, warnings=differing))
    else:
        make_folder(folder.nodes)
        place = {"results_dir": str(folder.nodes), "run_id": f"{spec.run_id}-node{meeting.number}"}
        RunFolder.create(spec.replaced(**place, node_rank=meeting.number), overwrite=True).write_host(facts)
