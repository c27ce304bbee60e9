"""The task of a Slurm job on one of its nodes: check the node, note what it is, and run the run script:

    python -m gbench.runs.slurm_task --run-dir results/RUN_ID -- bash RUN_SCRIPT

Slurm signals the end of the job to every process of it. If the run then saves a checkpoint, the task of the first node
ends with AGAIN, and the job's script puts the job back into the queue.

The nodes of a job meet as those of `gbench launch --nodes` do, at the address from which srun started the tasks. All
write into the one run folder; `nodes/` in it has the facts of the further ones.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from gbench.base.files import make_folder
from gbench.base.utc import utc_now
from gbench.errors import GbenchError
from gbench.machine import provenance
from gbench.machine.gpus import Gpus, find_gpus
from gbench.runfolder.error_file import forget_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import HostHardware
from gbench.runfolder.node_facts import NodeAttempt, NodeFacts, read_node, write_node
from gbench.runfolder.worker_exit import report_failure
from gbench.runners.plan import at_node
from gbench.runners.slurm_script import AGAIN
from gbench.runners.supervise import GRACE_S
from gbench.runs.attempt import checks_here, trained
from gbench.runs.meeting import Meeting
from gbench.runs.node_differences import compare_nodes
from gbench.settings.spec import RunSpec

FRUITLESS = 3  # starts in a row without a checkpoint, after which the job does not start again
FIRST_PORT, PORTS = 20_000, 12_000  # below those that systems hand out by themselves


def main(argv: list[str]) -> int:
    """Returns the run script's exit code, 128 + signal if one ended it, or AGAIN."""
    parser = argparse.ArgumentParser(prog="python -m gbench.runs.slurm_task", description="The task of a Slurm job.")
    parser.add_argument("--run-dir", type=Path, required=True, help="run folder with spec.json")
    parser.add_argument("command", nargs="+", help="the run script and its interpreter, after --")
    arguments = parser.parse_args(argv)
    folder, stops = RunFolder(arguments.run_dir), list[int]()
    # a handler, not SIG_IGN, which the run script would inherit
    signal.signal(signal.SIGTERM, lambda number, frame: stops.append(number))
    try:
        spec = folder.spec()
        if folder.begun(0) and trained(folder):  # the job was put back as the training ended
            return 0
        gpus, first = find_gpus(), node_number(os.environ) == 0
        hardware = HostHardware(**provenance.hardware(gpus))
        if first:
            forget_error(folder)
            note_start(folder, hardware)
        checks = checks_here(spec.replaced(runner="local"), gpus, print)
        if first:
            write_node(folder, read_node(folder).changed(checks=checks))
        if spec.device == "cpu":
            threads = max(1, len(os.sched_getaffinity(0)) // spec.devices_per_node)
            os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # as the other runners
        before = last_saved(folder)
        if stops:  # the run script would not hear of it
            code = -signal.SIGTERM
        else:
            among, command = spec.nodes > 1, arguments.command
            code = run_among(spec, folder, gpus, hardware, command) if among else run_command(command)
    except GbenchError as error:
        return report_failure(folder, error)
    if first:
        facts = note_end(folder, saved=last_saved(folder) > before)
        if stops and code and spec.config.schedule.checkpoint_every and may_start_again(facts.attempts):
            return AGAIN
    elif stops:
        return 0  # another exit code would end the first node's task
    return code if code >= 0 else 128 - code


def may_start_again(attempts: Sequence[NodeAttempt]) -> bool:
    """Whether one of the last starts saved a checkpoint, or there were few."""
    return len(attempts) < FRUITLESS or any(one.saved for one in attempts[-FRUITLESS:])


def node_number(environ: Mapping[str, str]) -> int:
    """The number of this node in the job."""
    return int(environ.get("SLURM_NODEID", "0"))


def note_start(folder: RunFolder, hardware: HostHardware) -> None:
    """Note this start, and what the first node is."""
    times = NodeAttempt(started_utc=utc_now(), started_s=time.perf_counter(), wall_s=None)
    write_node(folder, NodeFacts(hardware=hardware, attempts=[*read_node(folder).attempts, times]))


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
    with Meeting(spec.replaced(rdzv=endpoint(os.environ), node_rank=node_number(os.environ)), print) as meeting:
        compare(meeting, spec, folder, gpus, hardware)
        if meeting.here.interface is not None:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", meeting.here.interface)
        os.environ.update(at_node(os.environ, meeting.number, meeting.endpoint))
        with meeting.watched():
            return run_command(command)


def endpoint(environ: Mapping[str, str]) -> str:
    """Where the nodes of a job meet: an address of the first, and a port that few other jobs there have."""
    number = int(environ["SLURM_JOB_ID"]) + int(environ.get("SLURM_RESTART_COUNT", "0"))
    return f"{environ['SLURM_LAUNCH_NODE_IPADDR']}:{FIRST_PORT + number % PORTS}"


def compare(meeting: Meeting, spec: RunSpec, folder: RunFolder, gpus: Gpus, hardware: HostHardware) -> None:
    """Wait until every node is ready, note what each is, and compare them. Raises UsageError: they differ too much."""
    assert spec.slurm is not None, "the task of a Slurm job"
    torch = metadata.version("torch") if spec.slurm.container == "bare" else None
    facts, differing = compare_nodes(meeting, folder.host().changed(hardware=hardware), gpus, torch, spec.slurm.allow)
    if meeting.number == 0:
        for text in differing:
            print(f"warning: {text}", flush=True)
        write_node(folder, read_node(folder).changed(node=facts.node, warnings=differing))
    else:
        make_folder(folder.nodes)
        place = {"results_dir": str(folder.nodes), "run_id": f"{spec.run_id}-node{meeting.number}"}
        RunFolder.create(spec.replaced(**place, node_rank=meeting.number), overwrite=True).write_host(facts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
