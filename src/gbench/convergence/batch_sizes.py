"""References of several batch sizes: the one of a run's own, or what lies between two of them.

Losses change with the batch size. Between two sizes, each figure's logarithm is taken to lie on the straight line over
the logarithm of the batch size; docs/convergence.md shows how far that is right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gbench.convergence.contrasts import Contrast
from gbench.convergence.recipe import differences
from gbench.convergence.reference import Reference
from gbench.convergence.tolerance import RunGroup
from gbench.errors import UsageError

SIZE = "batch_size"


@dataclass(frozen=True)
class ReferenceBetween:
    """What runs of a batch size between those of two references are compared with, as with a `Reference`."""

    low: Reference
    high: Reference
    batch_size: int

    @property
    def recipe(self) -> dict[str, Any]:
        return {**self.low.recipe, SIZE: self.batch_size}

    @property
    def description(self) -> str:
        sizes = " and ".join(str(one.recipe[SIZE]) for one in (self.low, self.high))
        return f"between batch sizes {sizes}: {self.low.description}; {self.high.description}"

    @property
    def windows(self) -> list[tuple[int, int]]:
        return self.low.windows

    @property
    def epochs(self) -> int:
        return self.low.epochs

    @property
    def band_error(self) -> float:
        return self.low.band_error

    @property
    def degrees(self) -> int:
        return self.low.degrees + self.high.degrees

    @property
    def quality_images(self) -> int | None:
        return self.low.quality_images

    def window(self, loss: str, number: int) -> RunGroup:
        return self._between(self.low.window(loss, number), self.high.window(loss, number))

    def last_epoch(self, loss: str) -> RunGroup:
        return self._between(self.low.last_epoch(loss), self.high.last_epoch(loss))

    def contrast(self, contrast: Contrast) -> RunGroup | None:
        low, high = self.low.contrast(contrast), self.high.contrast(contrast)
        return self._between(low, high) if low is not None and high is not None else None

    def quality(self, metric: str) -> RunGroup | None:
        low, high = self.low.quality(metric), self.high.quality(metric)
        return self._between(low, high) if low is not None and high is not None else None

    def _between(self, low: RunGroup, high: RunGroup) -> RunGroup:
        sizes = (self.low.recipe[SIZE], self.batch_size, self.high.recipe[SIZE])
        first, own, last = map(math.log, sizes)
        return low.mixed(high, (own - first) / (last - first))


AnyReference = Reference | ReferenceBetween


def for_batch_size(references: Sequence[Reference], batch_size: int | None) -> AnyReference:
    """The reference of this batch size, or between the two nearest ones; outside their range, the nearest one.

    batch_size: None if unknown, as for a log that doesn't state it. Raises UsageError: that, with several references;
    or they differ in more than their batch size.
    """
    first = references[0]
    if len(references) == 1:
        return first
    for one in references[1:]:
        fields = {apart.field for apart in differences(one.recipe, first.recipe)} - {SIZE}
        fields |= {
            name for name in ("model", "windows", "quality_images") if getattr(one, name) != getattr(first, name)
        }
        if fields:
            raise UsageError(
                f"the references differ in {', '.join(sorted(fields))}: {first.description}; {one.description}",
                "give references that differ only in their batch size",
            )
    by_size = {one.recipe[SIZE]: one for one in references}
    if len(by_size) < len(references):
        raise UsageError("two references have the same batch size", "make one reference of all their runs")
    if batch_size is None:
        raise UsageError("the batch size of the run is not known", "give the reference of its batch size alone")
    lower, upper = ([size for size in by_size if ok(size)] for ok in (batch_size.__ge__, batch_size.__le__))
    if not lower or not upper or batch_size in by_size:
        return by_size[max(lower) if lower else min(upper)]
    return ReferenceBetween(by_size[max(lower)], by_size[min(upper)], batch_size)
