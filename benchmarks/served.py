"""Training steps in processes of their own, which take a block of steps when they are asked: a part of step.py."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from timing import Median, alternate, columns

Counts = dict[str, dict[str, float]]  # what, then whose


class Block(NamedTuple):
    """What a step of a block took, on average; or a process so far."""

    wall_s: float
    cpu_s: float
    page_faults: float

    @classmethod
    def now(cls) -> Block:
        """This process so far. Page faults are those that read nothing from a disk."""
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        return cls(time.perf_counter(), time.process_time(), faults)

    def since(self, start: Block, steps: int) -> Block:
        """A step of the `steps` from `start` to this."""
        return Block(*((after - before) / steps for before, after in zip(start, self, strict=True)))


@contextmanager
def process_of(serve: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """A process that calls `serve` with a pipe and the arguments, and is sent None when this context ends."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, *arguments), daemon=True)
    process.start()
    there.close()
    try:
        yield here
        here.send(None)
    finally:
        here.close()
        process.join()


def ask(pipe: Connection, question: int) -> Any:
    """The answer of the process at the other end: to a number of steps a block of them."""
    pipe.send(question)
    return pipe.recv()


def blocks_of(pipes: Mapping[str, Connection], pairs: int, steps: int) -> dict[str, list[Block]]:
    """Blocks of `steps` steps in each process, in turn; the first two of each are left out."""
    ways = {name: partial(ask, pipe, steps) for name, pipe in pipes.items()}
    return columns(list(alternate(ways, pairs, warmup=2)))


def page_faults(found: Mapping[str, list[Block]]) -> dict[str, float]:
    """Of a step, by whose."""
    return {name: Median.of([block.page_faults for block in each]).value for name, each in found.items()}
