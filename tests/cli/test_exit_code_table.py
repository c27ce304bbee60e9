"""Every exit of gbench comes from one table: docs/exit-codes.md, which has the codes of gbench.errors and each verb."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click import Context, Group
from support import Answer

from gbench.cli import COMMANDS, cli
from gbench.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "gbench"
PAGE = (ROOT / "docs" / "exit-codes.md").read_text()
ENDS = ("exit", "_exit", "SystemExit")
OF_WORKERS = ("pix2pix",)  # processes whose parents read other codes


def rows(header: str) -> list[list[str]]:
    """The cells of the rows of the table that begins so."""
    table = PAGE.split(f"\n| {header} |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def commands() -> Iterator[list[str]]:
    """The words of each command."""
    for verb in COMMANDS:
        command = cli.get_command(Context(cli), verb)
        yield [verb]
        if isinstance(command, Group):
            yield from ([verb, name] for name in command.commands)


def test_the_page_has_each_code() -> None:
    assert [(int(row[0]), row[1]) for row in rows("code")] == [(int(code), code.name) for code in ExitCode]


def test_the_page_has_each_verb() -> None:
    assert [row[0].strip("` ") for row in rows("verb")] == list(COMMANDS)


def test_no_exit_has_a_number_of_its_own() -> None:
    """Each exit names an ExitCode, or passes one on."""
    found = []
    for path in SOURCE.rglob("*.py"):
        if path.parts[len(SOURCE.parts)] in OF_WORKERS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in ENDS and any(isinstance(one, ast.Constant) and type(one.value) is int for one in node.args):
                    found.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_wrong_options_and_help_are_the_same_everywhere(gbench: Callable[..., Answer], words: list[str]) -> None:
    wrong = gbench(*words, "--no-such-option")
    assert wrong.code == ExitCode.USAGE and re.match("gbench: error: no such option", wrong.err), wrong
    assert gbench(*words, "--help").code == ExitCode.OK
