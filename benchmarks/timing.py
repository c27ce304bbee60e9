"""Time things alternately, and summarise each by a median with its interval."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

K = TypeVar("K")
T = TypeVar("T")


class Median(NamedTuple):
    """A median with its 95 % interval by order statistics, which assumes no distribution."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Median:
        """The median of independent values; the interval of few values is their whole range."""
        ordered = sorted(values)
        middle, reach = len(ordered) // 2, math.ceil(0.98 * math.sqrt(len(ordered)))
        low, high = ordered[max(0, middle - reach)], ordered[min(len(ordered) - 1, middle + reach)]
        return cls(statistics.median(ordered), low, high)


def seconds(call: Callable[[], object]) -> float:
    """How long the call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternate(ways: Mapping[K, Callable[[], T]], rounds: int, warmup: int = 0) -> Iterator[dict[K, T]]:
    """Call every way once a round, each round in another order; yields what they returned, after the warm-up rounds."""
    names = list(ways)
    for number in range(-warmup, rounds):
        turn = number % len(names)
        found = {name: ways[name]() for name in names[turn:] + names[:turn]}
        if number >= 0:
            yield {name: found[name] for name in names}


def columns(rounds: Sequence[Mapping[K, T]]) -> dict[K, list[T]]:
    """The values of each way, round by round."""
    return {name: [found[name] for found in rounds] for name in rounds[0]}
