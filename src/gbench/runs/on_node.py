"""The task of a Slurm job on its node: check the node, note what it is, and run the run script:

    python -m gbench.runs.on_node --run-dir results/RUN_ID -- bash RUN_SCRIPT

Slurm signals the end of the job to every process of it. If the run then saves a checkpoint, this ends with AGAIN, and
the job's script puts the job back into the queue.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gbench.base.utc import utc_now
from gbench.errors import GbenchError
from gbench.machine import provenance
from gbench.machine.gpus import find_gpus
from gbench.runfolder.error_file import forget_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import CheckFacts, HostHardware
from gbench.runfolder.node_facts import NodeAttempt, NodeFacts, read_node, write_node
from gbench.runfolder.worker_exit import report_failure
from gbench.runners.slurm_script import AGAIN
from gbench.runs.attempt import checks_here, trained
from gbench.settings.spec import RunSpec

FRUITLESS = 3  # starts in a row without a checkpoint, after which the job does not start again


def main(argv: list[str]) -> int:
    """Returns the run script's exit code, 128 + signal if one ended it, or AGAIN."""
    parser = argparse.ArgumentParser(prog="python -m gbench.runs.on_node", description="The task of a Slurm job.")
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
        forget_error(folder)
        facts = begin(spec, folder)
    except GbenchError as error:
        return report_failure(folder, error)
    before = last_saved(folder)
    if spec.device == "cpu":
        threads = max(1, len(os.sched_getaffinity(0)) // spec.devices_per_node)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # as the other runners
    code = subprocess.run(arguments.command).returncode
    saved = last_saved(folder) > before
    facts = end(folder, facts, saved)
    fruitless = not any(one.saved for one in facts.attempts[-FRUITLESS:])
    again = stops and code and spec.config.schedule.checkpoint_every and not fruitless
    return AGAIN if again else code if code >= 0 else 128 - code


def begin(spec: RunSpec, folder: RunFolder) -> NodeFacts:
    """Note this start, and what the node is. Raises GbenchError: the node is not fit for the run."""
    gpus = find_gpus()
    here = spec.replaced(runner="local")
    earlier = read_node(folder).attempts
    times = NodeAttempt(started_utc=utc_now(), started_s=time.perf_counter(), wall_s=None)
    hardware = HostHardware(**provenance.hardware(gpus))
    checks: list[CheckFacts] = []
    facts = NodeFacts(hardware=hardware, checks=checks, attempts=[*earlier, times])
    write_node(folder, facts)
    checks = checks_here(here, gpus, print)
    facts = facts.changed(checks=checks)
    write_node(folder, facts)
    return facts


def end(folder: RunFolder, facts: NodeFacts, saved: bool) -> NodeFacts:
    """Note the end of this start."""
    *earlier, last = facts.attempts
    facts = facts.changed(attempts=[*earlier, last.changed(wall_s=time.perf_counter() - last.started_s, saved=saved)])
    write_node(folder, facts)
    return facts


def last_saved(folder: RunFolder) -> int:
    """When the last checkpoint was written, in nanoseconds since 1970; 0 without one."""
    return max((file.stat().st_mtime_ns for file in folder.checkpoints.glob("*")), default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
