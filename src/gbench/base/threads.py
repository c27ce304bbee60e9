"""Calls across threads: one that may never return, and an exception for the main thread."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimeoutOfFuture
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

TO_MAIN = signal.SIGUSR2
T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call, made in a thread that is abandoned after `seconds`: nothing else ends it.

    Raises TimeoutError, or what the call raises.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # raised in the caller's thread
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return result.result(seconds)
    except TimeoutOfFuture as error:
        if result.done():  # what the call raised
            raise
        raise TimeoutError(f"no answer after {seconds:.3g} s") from error


@contextmanager
def raising_in_main() -> Iterator[Callable[[BaseException], None]]:
    """Yields a function with which another thread raises an exception in this context, which the main thread is in.

    Contexts may be nested: each gets its own exceptions.
    """
    pending, ended, lock = list[BaseException](), threading.Event(), threading.Lock()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if pending and not ended.is_set():
            raise pending.pop()
        if callable(before):
            before(number, frame)

    def raise_in_main(error: BaseException) -> None:
        with lock:
            if not ended.is_set():
                pending.append(error)
                signal.pthread_kill(threading.main_thread().ident or 0, TO_MAIN)

    before = signal.signal(TO_MAIN, on_signal)
    try:
        yield raise_in_main
    finally:
        try:
            ended.set()
            with lock:  # a thread that has seen it earlier has sent its signal
                pass
        finally:
            signal.signal(TO_MAIN, before)
