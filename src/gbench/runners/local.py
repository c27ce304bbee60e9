"""The `local` runner: the run script on this host, in this Python environment."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import psutil

from gbench.base.files import locked
from gbench.base.python import module_argv
from gbench.errors import InfrastructureError
from gbench.runners.plan import PROCESSES_LOCK, Outcome, places_here, script_environment
from gbench.settings.spec import RunSpec

ENDING_S = 30.0  # time for the processes of a killed run to end


class LocalRunner:
    """Starts the run script as a supervised child process."""

    def __init__(self, spec: RunSpec, inherited: dict[str, str]) -> None:
        self._spec, self._inherited = spec, inherited

    def request(self, run_dir: Path) -> dict[str, Any]:
        """The process to start: argv, working folder, and the variables that override inherited ones."""
        spec = self._spec
        variables = script_environment(spec, places_here(spec, run_dir), len(os.sched_getaffinity(0)))
        return {"argv": ["bash", spec.run_model_file], "cwd": str(run_dir), "environment": variables}

    def describe(self) -> dict[str, Any]:
        return self.request(self._spec.run_dir)

    def with_spec(self, spec: RunSpec) -> "LocalRunner":
        """For another spec; see `Runner.with_spec`."""
        return LocalRunner(spec, self._inherited)

    def prepare(self, on_line: Callable[[str], None]) -> None:
        """Nothing to prepare: this environment has everything that gbench needs."""

    def facts(self) -> dict[str, Any]:
        """The run is on the host itself."""
        return {"runner": "local"}

    def run(self, run_dir: Path, on_line: Callable[[str], None]) -> Outcome:
        """Run the script to its end; see `Runner.run`."""
        request = self.request(run_dir)
        # The supervisor keeps the lock: after gbench is killed, a resumed run waits until all processes have ended.
        with _ended(run_dir) as lock:
            process = self._start(request, lock)
        assert process.stdin and process.stdout
        threading.Thread(target=_end_without_supervisor, args=(process, run_dir), daemon=True).start()
        try:
            _relay(process.stdout, on_line)
            code = process.wait()
            return Outcome(code if code >= 0 else 128 - code)
        finally:
            process.send_signal(signal.SIGCONT)  # a supervisor that somebody has stopped would end nothing
            with contextlib.suppress(OSError):
                process.stdin.close()  # makes the supervisor end everything, unless it has ended already
            try:
                _relay(process.stdout, on_line)
            finally:
                process.wait()

    def _start(self, request: dict[str, Any], lock: int) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                [*module_argv("gbench.runners.supervise"), "--", *request["argv"]],
                cwd=request["cwd"],
                env={**self._inherited, **request["environment"]},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                pass_fds=[lock],
            )
        except OSError as error:
            raise InfrastructureError(f"the run could not be started ({error})", "check RUN_MODEL_FILE") from error


def wait_for_end(run_dir: Path) -> None:
    """Wait until no process of a run whose gbench was killed is left. Raises InfrastructureError: after ENDING_S."""
    if run_dir.is_dir():
        with _ended(run_dir):
            pass


def _ended(run_dir: Path) -> AbstractContextManager[int]:
    """Take the lock that a supervisor holds until the last process of its run has ended."""
    return locked(run_dir / PROCESSES_LOCK, ENDING_S, f"run folder {run_dir}")


def _end_without_supervisor(supervisor: subprocess.Popen[str], run_dir: Path) -> None:
    """Kill the processes of a run whose supervisor a signal has ended: they hold its output open, and may never end."""
    if supervisor.wait() >= 0:
        return
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("RUN_DIR") == str(run_dir) and process.pid != os.getpid():
                process.kill()


def _relay(output: IO[str], on_line: Callable[[str], None]) -> None:
    for line in output:
        on_line(line.rstrip("\n"))
