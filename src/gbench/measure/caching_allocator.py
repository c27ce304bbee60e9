"""What torch's CUDA allocator takes from a GPU for a sequence of allocations (c10/cuda/CUDACachingAllocator.cpp).

It takes segments from the driver, splits them into blocks, and keeps a freed block for the next allocation that fits.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

MIB = 1 << 20
UNIT = 512  # bytes; every block is a multiple
SMALL = MIB  # up to here, blocks come from segments of SMALL_SEGMENT
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB  # of blocks below ALONE
ALONE = 10 * MIB  # from here on, a segment is as large as its first block, in units of SMALL_SEGMENT


@dataclass(eq=False)
class Block:
    """Bytes of a segment. Neighbours are blocks of the same segment."""

    size: int
    number: int
    small: bool
    free: bool = False
    before: Block | None = None
    after: Block | None = None


class CachingAllocator:
    """Counts bytes; there is no memory.

    Attributes:
        peak_allocated: the most in use at a time, as torch.cuda.max_memory_allocated.
        peak_reserved: the most taken from the driver, as torch.cuda.max_memory_reserved.
    """

    def __init__(self) -> None:
        self.peak_allocated = self.peak_reserved = 0
        self._allocated = self._blocks = 0
        self._free: dict[bool, list[tuple[int, int, Block]]] = {True: [], False: []}

    def allocate(self, size: int) -> Block:
        """A block of at least `size` bytes: the smallest free one, or part of a new segment."""
        size = max(1, -(-size // UNIT)) * UNIT
        small = size <= SMALL
        free = self._free[small]
        place = bisect_left(free, (size, 0))
        block = free.pop(place)[2] if place < len(free) else self._segment(size, small)
        rest = block.size - size
        if rest >= UNIT if small else rest > SMALL:
            block.size = size
            after = self._block(rest, small, block, block.after)
            block.after = after
            if after.after is not None:
                after.after.before = after
            self._keep(after)
        block.free = False
        self._allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self._allocated)
        return block

    def release(self, block: Block) -> None:
        """Free a block, and join it with free neighbours."""
        self._allocated -= block.size
        if (after := block.after) is not None and after.free:
            self._forget(after)
            self._join(block, after)
        if (before := block.before) is not None and before.free:
            self._forget(before)
            self._join(before, block)
            block = before
        self._keep(block)

    def _segment(self, size: int, small: bool) -> Block:
        alone = -(-size // SMALL_SEGMENT) * SMALL_SEGMENT
        size = SMALL_SEGMENT if small else LARGE_SEGMENT if size < ALONE else alone
        self.peak_reserved += size
        return self._block(size, small)

    def _block(self, size: int, small: bool, before: Block | None = None, after: Block | None = None) -> Block:
        self._blocks += 1
        return Block(size, self._blocks, small, before=before, after=after)

    def _join(self, block: Block, after: Block) -> None:
        block.size += after.size
        block.after = after.after
        if block.after is not None:
            block.after.before = block

    def _keep(self, block: Block) -> None:
        block.free = True
        insort(self._free[block.small], (block.size, block.number, block))

    def _forget(self, block: Block) -> None:
        free = self._free[block.small]
        del free[bisect_left(free, (block.size, block.number))]
