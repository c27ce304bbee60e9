"""The `local` runner: the run script on this host, in this Python environment."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from gbench.base.files import locked
from gbench.base.python import module_argv
from gbench.errors import Hung, InfrastructureError
from gbench.runners.plan import PROCESSES_LOCK, Outcome, places_here, script_environment
from gbench.settings.spec import RunSpec

ENDING_S = 30.0  # time for the processes of a killed run to end
LOOK_S, LOOKS = 1.0, 10  # at least that long between looks for a run that is stopped, and so many within its limit


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
        """Run the script to its end; see `Runner.run`. Raises Hung: somebody has stopped all of its processes."""
        request = self.request(run_dir)
        # The supervisor keeps the lock: after gbench is killed, a resumed run waits until all processes have ended.
        with _ended(run_dir) as lock:
            process = self._start(request, lock)
        assert process.stdin and process.stdout
        threading.Thread(target=_end_without_supervisor, args=(process, run_dir), daemon=True).start()
        watch = _StoppedWatch(process, self._spec.config.measure.hang_seconds)
        watch.start()
        try:
            _relay(process.stdout, on_line)
            code = process.wait()
            watch.require_none()
            return Outcome(code if code >= 0 else 128 - code)
        finally:
            watch.over.set()
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


class _StoppedWatch(threading.Thread):
    """Ends a run of which no process goes on, as all that do not wait for another one are stopped (SIGSTOP).

    The ranks watch each other, but not if their own watch is stopped with them. It counts looks, not seconds: a pause
    of this process too takes one look. A supervisor alone that is stopped goes on.

    limit_s: the spec's measure.hang_seconds; 0: never.
    """

    def __init__(self, supervisor: subprocess.Popen[str], limit_s: float) -> None:
        super().__init__(daemon=True)
        self._supervisor, self._limit_s = supervisor, limit_s
        self._stopped: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        looks, pause_s, before = 0, max(LOOK_S, self._limit_s / LOOKS), _Look([], {})
        while self._limit_s and not self.over.wait(pause_s):
            self._supervisor.send_signal(signal.SIGCONT)
            with contextlib.suppress(psutil.Error):  # one of them has just ended
                below = psutil.Process(self._supervisor.pid).children(recursive=True)
                look = _Look.at(below)
                looks = looks + 1 if look.stopped and look == before else 0
                before = look
                if self._limit_s <= looks * pause_s:
                    self._stopped = look.stopped
                    for process in below:
                        process.kill()

    def require_none(self) -> None:
        """Raises Hung: it has ended the run."""
        if self._stopped:
            numbers = ", ".join(map(str, self._stopped))
            raise Hung(
                f"hung: all processes of the run are stopped (SIGSTOP) for {self._limit_s:g} s: {numbers}",
                "see who stops processes here; a run that may be stopped longer needs a longer "
                "--set measure.hang_seconds",
            )


@dataclass(frozen=True)
class _Look:
    """What the processes of a run do."""

    stopped: list[int]
    """The ids of those without a child, if all of these are stopped; else empty."""
    used_s: dict[int, float]
    """Processor time so far of each that is not stopped: one that waits for a stopped child uses none."""

    @classmethod
    def at(cls, processes: list[psutil.Process]) -> "_Look":
        """Raises psutil.Error: one has ended."""
        states = {one: one.status() for one in processes}
        alive = [one for one, state in states.items() if state != psutil.STATUS_ZOMBIE]
        going = [one for one in alive if states[one] != psutil.STATUS_STOPPED]
        parents = {one.ppid() for one in alive}
        last = [one for one in alive if one.pid not in parents]
        stopped = [] if set(last) & set(going) else sorted(one.pid for one in last)
        return cls(stopped, {one.pid: sum(one.cpu_times()[:2]) for one in going})


def _relay(output: IO[str], on_line: Callable[[str], None]) -> None:
    for line in output:
        on_line(line.rstrip("\n"))
