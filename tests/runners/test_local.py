"""The local runner on real processes: no process outlives a run, however it ends."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gbench.base.files import locked
from gbench.base.python import module_argv
from gbench.errors import GbenchError, Hung, InfrastructureError, Interrupted, RunFailed
from gbench.follow.follower import Views
from gbench.runners import local
from gbench.runners.local import LocalRunner
from gbench.runners.plan import PROCESSES_LOCK, Outcome, places_here, script_environment
from gbench.runners.stopping import stoppable
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]
# Leaves a grandchild in a session of its own behind, as torchrun's workers are; both ignore SIGTERM.
STUBBORN = """
trap '' TERM
setsid bash -c "trap '' TERM; echo $$ > {pid}; while true; do sleep 1; done" &
while [ ! -s {pid} ]; do sleep 0.05; done
echo ready
{then}
"""


def run(make_spec: MakeSpec, folder: Path, script: str, on_line: Callable[[str], None] = lambda line: None) -> Outcome:
    path = folder / "run.sh"
    path.write_text(script)
    spec = make_spec(
        run_model_file=str(path), datasets_dir=str(folder), dataset=None, settings=["measure.hang_seconds=1"]
    )
    return LocalRunner(spec, dict(os.environ)).run(folder, on_line)


def sessions_below(folder: Path) -> list[psutil.Process]:
    """Processes that still hold the folder as their working folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.cwd() == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_output_comes_by_lines_and_the_exit_code_is_kept(make_spec: MakeSpec, tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = run(make_spec, tmp_path, "echo one; echo two >&2; printf '\\xff three'; exit 7", lines.append)
    assert outcome == Outcome(7)
    assert lines == ["one", "two", "\ufffd three"]


def test_a_signal_that_ends_the_script_is_128_and_its_number(make_spec: MakeSpec, tmp_path: Path) -> None:
    assert run(make_spec, tmp_path, "kill -9 $$") == Outcome(128 + signal.SIGKILL)


def test_the_script_sees_the_spec_as_variables(make_spec: MakeSpec, tmp_path: Path) -> None:
    lines: list[str] = []
    run(
        make_spec,
        tmp_path,
        'echo "$MODEL $BATCH_SIZE $DEVICE_COUNT $PRECISION $RUN_DIR"; echo "$TORCHRUN"; echo "$WORKER"',
        lines.append,
    )
    assert lines[0] == f"pix2pix_resnet_9blocks 4 1 FP32 {tmp_path}"
    assert "torch.distributed.run" in lines[1] and lines[1].startswith(sys.executable)
    assert lines[2].startswith(
        f"{shlex.join(module_argv('gbench.pix2pix.start_ranks'))} --nproc-per-node 1 --run-dir {tmp_path} "
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 can't leave the working folder out")
@pytest.mark.parametrize("what", ["supervisor", "follower", "WORKER", "TORCHRUN"])
def test_a_module_in_the_working_folder_is_not_imported(make_spec: MakeSpec, tmp_path: Path, what: str) -> None:
    """The run folder, or the user's own, may hold a stranger's file, or one that by chance is named `json.py`."""
    spec = make_spec()
    variables = script_environment(spec, places_here(spec, tmp_path), None)
    started = {
        "supervisor": [*module_argv("gbench.runners.supervise"), "--", "true"],
        "follower": Views().argv(tmp_path),
    }
    for name in ("gbench", "json", "psutil", "torch"):
        (tmp_path / f"{name}.py").write_text(f"open('{name}.imported', 'w')")
    argv = started.get(what) or shlex.split(variables[what])
    subprocess.run(argv, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert not list(tmp_path.glob("*.imported"))


def test_what_the_script_leaves_in_the_background_is_ended(make_spec: MakeSpec, tmp_path: Path) -> None:
    run(make_spec, tmp_path, "setsid sleep 600 & disown; echo done")
    assert sessions_below(tmp_path) == []


def test_being_interrupted_ends_everything_and_keeps_the_output(make_spec: MakeSpec, tmp_path: Path) -> None:
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM"), stoppable(None):
        run(make_spec, tmp_path, "echo ready; sleep 600", on_line)
    assert lines == ["ready"]
    assert sessions_below(tmp_path) == []


def test_a_timeout_ends_the_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="--timeout"), stoppable(0.5):
        run(make_spec, tmp_path, "sleep 600")
    assert sessions_below(tmp_path) == []


def test_a_log_that_can_not_be_written_ends_the_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    def on_line(line: str) -> None:
        raise GbenchError("the disk is full", "free some")

    with pytest.raises(GbenchError, match="the disk is full"):
        run(make_spec, tmp_path, "echo one; echo two; sleep 600", on_line)
    assert sessions_below(tmp_path) == []


def test_a_run_that_can_not_be_started(make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(InfrastructureError) as caught:
        run(make_spec, tmp_path, "true")
    assert caught.value.what.startswith("the run could not be started ([Errno 2] No such file or directory")
    assert caught.value.hint == "check RUN_MODEL_FILE"


def test_a_run_whose_processes_have_not_ended_is_waited_for(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "ENDING_S", 0.1)
    with locked(tmp_path / PROCESSES_LOCK, 0, "the lock"):
        for wait in (lambda: local.wait_for_end(tmp_path), lambda: run(make_spec, tmp_path, "true")):
            with pytest.raises(InfrastructureError) as caught:
                wait()
            assert str(caught.value) == f"run folder {tmp_path} is in use by another process; wait until it has ended"
    local.wait_for_end(tmp_path)
    local.wait_for_end(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_the_variables_of_the_caller_and_those_of_the_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text('echo "$MINE $MODEL $0 $PWD"; read line || echo "no input"\n')
    spec = make_spec(run_model_file=str(script))
    lines: list[str] = []
    runner = LocalRunner(spec, {**os.environ, "MINE": "kept", "MODEL": "not this"})
    assert runner.with_spec(spec).run(tmp_path, lines.append) == Outcome(0)
    assert lines == [f"kept {spec.model} {script} {tmp_path}", "no input"]
    assert runner.facts() == {"runner": "local"}


@pytest.mark.slow
def test_killing_gbench_itself_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(STUBBORN.format(pid=tmp_path / "pid", then="wait"))
    supervise = [sys.executable, "-m", "gbench.runners.supervise", "--", "bash", str(script)]
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.Popen({supervise!r}, stdin=subprocess.PIPE).wait()"],
        cwd=tmp_path,
        start_new_session=True,
    )
    wait_until(lambda: (tmp_path / "pid").exists())
    assert len(sessions_below(tmp_path)) >= 4  # the parent, the supervisor, the script, what it started
    assert parent.poll() is None
    parent.kill()
    parent.wait()
    wait_until(lambda: sessions_below(tmp_path) == [])


def supervisors() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # one that has ended
            if "gbench.runners.supervise" in process.cmdline():
                found.append(process)
    return found


def test_a_stopped_supervisor_does_not_keep_a_stop_from_the_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    kept: list[psutil.Process] = []

    def give_up() -> None:
        kept.extend(supervisors())
        for one in kept:
            one.kill()

    watchdog = threading.Timer(60, give_up)

    def on_line(line: str) -> None:
        (supervisor,) = supervisors()
        supervisor.suspend()
        watchdog.start()
        wait_until(lambda: supervisor.status() == psutil.STATUS_STOPPED)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM"), stoppable(None):
        run(make_spec, tmp_path, "echo ready; sleep 600", on_line)
    watchdog.cancel()
    assert kept == [] and sessions_below(tmp_path) == []


def stop(kept: Callable[[psutil.Process], bool] = lambda process: False) -> list[int]:
    """Stop the supervisor and the processes below it but those that are kept; gives those without a child."""
    (supervisor,) = supervisors()
    stopped: list[psutil.Process] = []
    new = [supervisor]
    while new:  # one may have started another just before it was stopped
        for one in new:
            one.suspend()
        stopped.extend(new)
        while not all(one.status() == psutil.STATUS_STOPPED for one in stopped):
            time.sleep(0.01)
        new = [one for one in supervisor.children(recursive=True) if one not in stopped and not kept(one)]
    return sorted(one.pid for one in stopped if not one.children())


def test_a_run_whose_processes_are_all_stopped_hangs(make_spec: MakeSpec, tmp_path: Path) -> None:
    stopped: list[int] = []
    with pytest.raises(Hung) as caught:
        script = STUBBORN.format(pid=tmp_path / "pid", then="sleep 600")
        run(make_spec, tmp_path, script, lambda line: stopped.extend(stop()))
    numbers = ", ".join(map(str, stopped))
    assert caught.value.what == f"hung: all processes of the run are stopped (SIGSTOP) for 1 s: {numbers}"
    assert sessions_below(tmp_path) == []


def test_a_run_of_which_a_process_goes_on_does_not_hang(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Not even if the only process without a child is stopped, while another one computes."""

    def on_line(line: str) -> None:
        if line.isdigit():  # bash also says that it has killed the other
            stop(lambda one: one.pid != int(line))

    computes = "for ((n = 0; SECONDS < 5; n++)); do :; done"
    assert run(make_spec, tmp_path, f"sleep 600 & echo $!; {computes}; kill -KILL $!", on_line) == Outcome(0)


def test_a_killed_supervisor_leaves_nothing_running(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Its command holds the output open, and would never end."""

    def on_line(line: str) -> None:
        for process in supervisors():
            process.kill()

    outcome = run(make_spec, tmp_path, STUBBORN.format(pid=tmp_path / "pid", then="wait"), on_line)
    assert outcome == Outcome(128 + signal.SIGKILL)
    wait_until(lambda: sessions_below(tmp_path) == [])
