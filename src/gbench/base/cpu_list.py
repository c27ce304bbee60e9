"""Compact lists of numbers, in the kernel's CPU list format."""

from collections.abc import Iterable


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as a compact list: `0-3, 6`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def cpu_set(text: str) -> set[int]:
    """The CPUs in a kernel CPU list: `0-3,8`. Raises ValueError: it is not one."""
    bounds = [part.partition("-") for part in text.strip().split(",") if part]
    return {cpu for first, _, last in bounds for cpu in range(int(first), int(last or first) + 1)}
