"""Numbers of bytes in words."""

from __future__ import annotations

import pytest

from gbench.base.size import GIB, size_text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3500 * GIB, "3,500 GiB"),
        (99.96 * GIB, "100 GiB"),
        (80 * GIB, "80.0 GiB"),
        (0.6071 * GIB, "0.607 GiB"),
        (0.04 * GIB, "41.0 MiB"),
        (22.5 * 2**20, "22.5 MiB"),
        (36659.0, "35.8 KiB"),
        (7, "7 bytes"),
        (0, "0 bytes"),
    ],
)
def test_a_size_has_three_figures_and_a_unit(number: float, text: str) -> None:
    assert size_text(number) == text
