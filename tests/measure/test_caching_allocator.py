"""The model of torch's CUDA allocator, by its rules. tests/fake_gpu/test_gpu_memory.py compares it with torch's."""

from __future__ import annotations

import random

import pytest

from gbench.measure.caching_allocator import Block, CachingAllocator

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "allocated", "reserved"),
    [
        (1, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (11 * MIB, 12 * MIB, 12 * MIB),  # 1 MiB is too little to be split off
    ],
)
def test_one_block(size: int, allocated: int, reserved: int) -> None:
    allocator = CachingAllocator()
    allocator.allocate(size)
    assert (allocator.peak_allocated, allocator.peak_reserved) == (allocated, reserved)


def test_the_smallest_free_block_that_fits_is_taken() -> None:
    allocator = CachingAllocator()
    large, small = allocator.allocate(64 * MIB), allocator.allocate(32 * MIB)
    allocator.release(large)
    allocator.release(small)
    allocator.allocate(30 * MIB)
    allocator.allocate(64 * MIB)
    assert allocator.peak_reserved == 96 * MIB


def test_freed_neighbours_are_joined() -> None:
    allocator = CachingAllocator()
    allocator.release(allocator.allocate(60 * MIB))
    parts = [allocator.allocate(20 * MIB) for _ in range(3)]
    for part in (parts[0], parts[2], parts[1]):
        allocator.release(part)
    allocator.allocate(60 * MIB)
    assert allocator.peak_reserved == allocator.peak_allocated == 60 * MIB


def test_blocks_are_never_lost() -> None:
    """After any sequence, when all is free, each segment is one block again."""
    draw, allocator = random.Random(0), CachingAllocator()
    held: list[Block] = []
    for _ in range(2000):
        if held and draw.random() < 0.5:
            allocator.release(held.pop(draw.randrange(len(held))))
        else:
            held.append(allocator.allocate(int(2 ** draw.uniform(0, 26))))
    for block in held:
        allocator.release(block)
    free = [block for kept in allocator._free.values() for *_, block in kept]
    assert sum(block.size for block in free) == allocator.peak_reserved
    assert all(block.before is None and block.after is None for block in free)
