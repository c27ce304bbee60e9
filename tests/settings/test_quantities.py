"""Words and numbers of the command line as values."""

from __future__ import annotations

import pytest

from gbench.settings.quantities import ignore_check


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("false", "False", "0", "no", "NO", ""), False),
        (("true", "TRUE", "1", "yes", "ignore_check"), True),
        (("2", "nein", "none", "check"), None),
    ],
)
def test_the_words_of_ignore_check(words: tuple[str, ...], value: bool | None) -> None:
    assert {ignore_check(word) for word in words} == {value}
