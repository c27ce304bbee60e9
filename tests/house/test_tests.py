"""The tests themselves: names that fit on a line, and helpers in their own folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SOURCES = {path: path.read_text() for path in sorted(TESTS.rglob("*.py"))}
LONGEST = 59


def test_names_are_short() -> None:
    names = [name for text in SOURCES.values() for name in re.findall(r"^ *def (test_\w+)", text, re.MULTILINE)]
    assert [name for name in names if len(name) > LONGEST] == []


def test_no_test_imports_from_another() -> None:
    tests = {path.stem for path in SOURCES if path.stem.startswith("test_")}
    for path, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in tests, path


def test_helpers_are_in_their_folders() -> None:
    named_elsewhere = ("conftest.py", "sitecustomize.py")  # by pytest and Python
    folders = ("helpers", "sim")
    elsewhere = [path for path in SOURCES if path.parent.name not in folders and path.name not in named_elsewhere]
    assert [path for path in elsewhere if not path.stem.startswith("test_")] == []


def test_names_of_files_are_unique() -> None:
    """pytest collects two files of one name only from packages."""
    names = [path.name for path in SOURCES if path.stem.startswith("test_")]
    assert sorted(names) == sorted(set(names))
