"""External requests to stop a run, as exceptions."""

from __future__ import annotations

import signal
import time

import pytest

from gbench.errors import Interrupted, RunFailed
from gbench.runners.stopping import STOPS, stoppable


def test_a_run_whose_time_is_up_is_told_what_to_do() -> None:
    sentence = r"^the run was not done after --timeout 0\.05s; give it longer, or less to do$"
    with pytest.raises(RunFailed, match=sentence), stoppable(0.05):
        time.sleep(30)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_time_that_is_up_already_ends_the_next_part() -> None:
    """The evaluation of a run whose training took all of --timeout."""
    with pytest.raises(RunFailed, match="--timeout 60s"), stoppable(60, began_s=time.monotonic() - 61):
        time.sleep(60)


@pytest.mark.parametrize("stop", STOPS)
def test_every_stop_ends_it_once_and_clean_up_is_undisturbed(stop: signal.Signals) -> None:
    before = signal.getsignal(stop)
    with stoppable(None):
        name = "Ctrl-C" if stop == signal.SIGINT else stop.name
        with pytest.raises(Interrupted, match=f"^stopped by {name}; what the run had written is kept$"):
            signal.raise_signal(stop)
        signal.raise_signal(stop)
    assert signal.getsignal(stop) is before


def test_a_terminal_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.isatty", lambda descriptor: descriptor == 2)
    for stop in (signal.SIGINT, signal.SIGTERM):
        with pytest.raises(Interrupted), stoppable(None):
            signal.raise_signal(stop)
    assert capfd.readouterr().err == "\r\ngbench: Ctrl-C: stopping\n\r\ngbench: SIGTERM: stopping\n"


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable(None):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
