"""A number of bytes in words."""

from __future__ import annotations

GIB = 2**30


def size_text(number: float) -> str:
    """A number of bytes to three significant figures: `80.0 GiB`, `0.607 GiB`, `35.8 KiB`, `0 bytes`."""
    for factor, unit in ((GIB, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= factor / 10:
            share = number / factor
            return f"{share:,.0f} {unit}" if share >= 99.95 else f"{share:#.3g} {unit}"
    return f"{number:.0f} bytes"
