"""Distinguish a dead run's container from a live one's."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gbench.runners.containers import Owner, _started_ticks


def owner_of(process: subprocess.Popen[bytes]) -> Owner:
    """The identity of a running child process."""
    ticks = _started_ticks(process.pid)
    assert ticks is not None
    return dataclasses.replace(Owner.current(), pid=process.pid, started_ticks=ticks)


def test_current_process_is_alive_and_survives_a_label() -> None:
    here = Owner.current()
    assert here.pid == os.getpid()
    assert not here.is_dead(here)
    assert Owner.from_label(here.to_label()) == here


@pytest.mark.parametrize("label", ["", "someone else's", "a b c d e", "a b c 1"])
def test_a_label_of_another_kind_is_no_owner(label: str) -> None:
    assert Owner.from_label(label) is None


def test_an_ended_process_is_dead_as_a_zombie_and_after() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = owner_of(process)
    assert not owner.is_dead(Owner.current())
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, but still a zombie
    assert owner.is_dead(Owner.current())
    process.communicate()
    assert owner.is_dead(Owner.current())


def test_a_later_process_with_the_same_pid_is_not_the_owner() -> None:
    here = Owner.current()
    assert dataclasses.replace(here, started_ticks=here.started_ticks - 1).is_dead(here)


def test_only_what_can_be_known_dead_is_dead() -> None:
    here = Owner.current()
    gone = dataclasses.replace(here, pid=2**22 + 1)  # above the kernel's largest pid
    assert gone.is_dead(here)
    assert not dataclasses.replace(gone, pid_namespace="pid:[1]").is_dead(here)
    assert not dataclasses.replace(gone, host="elsewhere").is_dead(here)
    assert dataclasses.replace(here, boot_id="an earlier one").is_dead(here)
    assert not dataclasses.replace(here, boot_id="another", host="elsewhere").is_dead(here)


def test_start_time_is_read_past_an_odd_process_name(tmp_path: Path) -> None:
    program = tmp_path / "a) Z (b"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([program, "60"])
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        assert _started_ticks(process.pid) == int(stat[stat.rindex(")") :].split()[20])
    finally:
        process.kill()
        process.wait()
