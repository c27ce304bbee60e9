"""`gbench help`, and the man page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import Answer

from gbench.base.paths import project_file
from gbench.cli import COMMANDS


@pytest.mark.parametrize("verb", ["", "launch", "cndb", "cndb list", "data synth"])
def test_help_of_a_verb_is_its_help_option(gbench: Callable[..., Answer], verb: str) -> None:
    asked, given = gbench("help", *verb.split()), gbench(*verb.split(), "--help")
    assert (asked.code, asked.out) == (0, given.out)
    assert f"Usage: gbench {verb}".strip() in given.out


def test_help_of_no_verb_is_one_sentence(gbench: Callable[..., Answer]) -> None:
    answer = gbench("help", "lauch")
    assert (answer.code, answer.out, "did you mean launch?" in answer.err) == (2, "", True)


def test_the_man_page_has_every_verb_and_no_other() -> None:
    page = project_file("scripts/gbench.1").read_text().replace("\\-", "-")
    verbs = page.split(".SH VERBS\n")[1].split(".SH")[0]
    assert verbs == "".join(f".TP\n.B {verb}\n{text}\n" for verb, text in COMMANDS.items())
