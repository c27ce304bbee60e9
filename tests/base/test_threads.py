"""Calls that may never return, and exceptions that other threads raise in the main thread."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from gbench.base.threads import TO_MAIN, raising_in_main, within


def test_a_call_returns_raises_or_is_abandoned() -> None:
    assert within(60, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)
    with pytest.raises(TimeoutError, match=r"no answer after 0\.05 s"):
        within(0.05, threading.Event().wait)


def test_a_time_out_of_the_call_itself_is_its_own() -> None:
    def call() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        within(60, call)


@pytest.mark.parametrize("whose", ["outer", "inner"])
def test_nested_contexts_get_their_own_exceptions(whose: str) -> None:
    before = signal.getsignal(TO_MAIN)
    with pytest.raises(RuntimeError, match=whose), raising_in_main() as outer, raising_in_main() as inner:
        raise_in_main = {"outer": outer, "inner": inner}[whose]
        threading.Thread(target=raise_in_main, args=(RuntimeError(whose),)).start()
        time.sleep(60)
    assert signal.getsignal(TO_MAIN) == before


def test_after_its_end_a_context_raises_nothing() -> None:
    with raising_in_main() as raise_in_main:
        pass
    raise_in_main(RuntimeError("late"))
