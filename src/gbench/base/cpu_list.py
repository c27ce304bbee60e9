"""Numbers in short, as the kernel lists CPUs."""

from __future__ import annotations

from collections.abc import Iterable


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers in short: `0-3, 6`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def cpu_set(text: str) -> set[int]:
    """The CPUs of a kernel list: `0-3,8`. Raises ValueError: it is none."""
    bounds = [part.partition("-") for part in text.strip().split(",") if part]
    return {cpu for first, _, last in bounds for cpu in range(int(first), int(last or first) + 1)}
