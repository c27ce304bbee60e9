"""The documentation: every link is valid, every page is in the index, every file it names exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from click import Context

from gbench.cli import cli
from gbench.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")]
    if path.is_file()
)
INLINE_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
README_PICTURE = ROOT / "docs" / "images" / "run-page.png"


def prose(page: Path) -> str:
    """A page without its code blocks, fenced or indented."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


def links(page: Path) -> list[str]:
    """The targets of a page's links."""
    return LINK.findall(INLINE_CODE.sub("", prose(page)))


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_page_is_in_the_index_once() -> None:
    index = ROOT / "docs" / "README.md"
    linked = [link for link in links(index) if link.endswith(".md") and "/" not in link]
    assert sorted(linked) == sorted(page.name for page in (ROOT / "docs").glob("*.md") if page != index)


def test_files_that_pages_name_exist() -> None:
    missing = []
    for page in PAGES:
        for name in re.findall(r"\b(?:src|tests|benchmarks|scripts|configs|docs)/[\w./-]*\.\w+", page.read_text()):
            if "MODEL" not in name and not (ROOT / name).is_file():
                missing.append(f"{page.name}: {name}")
    assert missing == []


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        name for page in PAGES for name in re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert named <= targets


def test_the_picture_of_the_readme_is_small() -> None:
    assert "docs/images/run-page.png" in links(ROOT / "README.md")
    assert README_PICTURE.stat().st_size <= 200_000


def test_the_readmes_tables_have_every_command_and_exit_code() -> None:
    commands, codes = (ROOT / "README.md").read_text().split("## Commands")[1].split("| exit code |")
    assert sorted(re.findall(r"^\| `([a-z]+)` \|", commands, flags=re.MULTILINE)) == sorted(
        cli.list_commands(Context(cli))
    )
    assert set(map(int, re.findall(r"^\| (\d+) \|", codes, flags=re.MULTILINE))) == set(ExitCode)


def contributing(section: str) -> str:
    """One section of CONTRIBUTING.md."""
    return (ROOT / "CONTRIBUTING.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]


def named_files() -> Iterator[tuple[Path, str]]:
    """Each file and folder that the tree names, with the folder of the room that it is named in."""
    folders = [ROOT / "src" / "gbench"]
    for line in contributing("The tree").split("```")[1].splitlines()[2:]:
        depth = (len(line) - len(line.lstrip())) // 2
        entry, _, purpose = line.strip().partition("  ")
        del folders[depth:]
        folder = folders[-1]
        if entry.endswith("/"):
            folder /= entry
            folders.append(folder)
            yield folder, ""
        for name in re.findall(r"[\w/]+\.py\b", f"{entry} {purpose}"):
            yield folder, name


def test_every_file_of_the_tree_exists() -> None:
    missing = [
        f"{folder.relative_to(ROOT)}/{name}"
        for folder, name in named_files()
        if not (folder / name).exists() and not (ROOT / "src" / "gbench" / name).exists()
    ]
    assert missing == []


def test_every_room_is_in_the_tree() -> None:
    source = ROOT / "src" / "gbench"
    rooms = {path.parent for path in source.glob("*/__init__.py")}
    assert rooms <= {folder for folder, _ in named_files()}


def test_every_file_that_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().split("## Follow a launch")[1]
    names = re.findall(r"`([\w./-]+/[\w.-]*\.\w+|errors\.py)`", text)
    assert len(names) > 40
    missing = [name for name in names if not (ROOT / "src" / "gbench" / name).exists() and not (ROOT / name).exists()]
    assert [name for name in missing if "MODEL" not in name] == []


def test_contributing_answers_ten_questions() -> None:
    assert len(re.findall(r"^\| .*\? \| `", contributing("Ten questions"), flags=re.MULTILINE)) == 10


def test_every_field_case_has_a_test() -> None:
    """The table of docs/field-cases.md names a test that exists in each row."""
    rows = [line for line in (ROOT / "docs/field-cases.md").read_text().splitlines() if line.startswith("| ")][1:]
    for row in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert tests, row
        for file, test in tests:
            assert f"def {test}(" in (ROOT / file).read_text(), row
