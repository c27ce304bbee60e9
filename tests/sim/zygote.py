"""Starts `gbench ARGUMENTS` in a new process that need not load its modules again: it is forked from this one.

Reads lines of JSON: what to start (argv, cwd, env, streams), whose process id it prints; or a process id, whose exit
code it prints after its end: below 0 the signal that ended it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import gbench.cli
import gbench.cli.launch
import gbench.cndb.schema
import gbench.runners.docker
import gbench.runs.evaluate
import gbench.runs.finish
import gbench.runs.launch
from gbench.preflight import busy
from gbench.runners import engine

busy.SAMPLE_S = 0.05  # as in the tests' own process
engine.ANSWER_S, engine.LOOK_S, engine.LOOKS = 10, 0.5, 1  # a silent engine of the simulated world never answers


def become(request: dict[str, Any]) -> None:
    """Run the command line, with the streams, folder and variables of the request. Does not return."""
    os.setsid()
    for number, path in enumerate(request["streams"]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666), number)
    os.chdir(request["cwd"])
    os.environ |= request["env"]
    sys.argv = ["gbench", *request["argv"]]
    code: object = 1
    try:
        gbench.cli.main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, int):
            print(os.waitstatus_to_exitcode(os.waitpid(request, 0)[1]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            become(request)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
