"""The same work for many items, in several processes of this machine."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from gbench.base.parent_death import die_with_parent
from gbench.errors import InfrastructureError

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2  # items under way or done, per process: it bounds the memory


def in_processes(work: Callable[[Item], Result], items: Iterable[Item], processes: int) -> Iterator[Result]:
    """`map(work, items)`, in the same order, in so many processes; in this one if that is 1. All can be pickled.

    The processes are forked before the first result, and end with the iteration, also if it is left early.

    Raises what `work` raises; InfrastructureError: a process was killed.
    """
    if processes == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _start) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) == AHEAD * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise InfrastructureError("a process was killed", "see whether the memory suffices") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start() -> None:
    """Leave Ctrl-C to the parent, which ends this process; and end with it if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
