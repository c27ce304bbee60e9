"""The task of a Slurm job on one of its nodes:

    python -m gbench.runs.slurm_task --run-dir results/RUN_ID -- bash RUN_SCRIPT

Slurm signals the end of the job to every process of it. If the run then saves a checkpoint, the task of the first node
ends with AGAIN, and the job's script puts the job back into the queue. The nodes of a job meet at the address from
which srun started the tasks.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gbench.errors import GbenchError
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.node_facts import NodeAttempt
from gbench.runfolder.worker_exit import report_failure
from gbench.runners.slurm_script import AGAIN
from gbench.runs.attempt import trained
from gbench.runs.node_task import last_saved, note_end, run_on_node

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
        number, before = node_number(os.environ), last_saved(folder)
        place = endpoint(os.environ) if spec.nodes > 1 else None
        code = run_on_node(spec.replaced(node_rank=number, rdzv=place), folder, arguments.command, stops)
    except GbenchError as error:
        return report_failure(folder, error)
    if number == 0:
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


def endpoint(environ: Mapping[str, str]) -> str:
    """Where the nodes of a job meet: an address of the first, and a port that few other jobs there have."""
    number = int(environ["SLURM_JOB_ID"]) + int(environ.get("SLURM_RESTART_COUNT", "0"))
    return f"{environ['SLURM_LAUNCH_NODE_IPADDR']}:{FIRST_PORT + number % PORTS}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
