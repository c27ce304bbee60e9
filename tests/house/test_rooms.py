"""Which room may import which, by the table in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}
WORKER_ROOMS = ("nets", "ranks", "data", "step")  # of pix2pix, from the lowest


def rooms() -> list[str]:
    """The rooms, in the order of the table."""
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## The rooms")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)/?` \|", table, re.MULTILINE)


def imported(module: str) -> set[str]:
    """The modules that a module imports, at its top or within a function."""
    found = set[str]()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module} imports by a relative name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys() - {module}


ARROWS = {module: imported(module) for module in MODULES}


def room_of(module: str) -> str | None:
    return module.split(".")[1] if "." in module else None


def test_nothing_lies_at_the_root_of_the_package() -> None:
    assert {path.stem for path in (SOURCE / "gbench").glob("*.py")} == {"__init__", "__main__", "errors"}


def test_every_room_is_in_the_table_and_says_what_it_is_for() -> None:
    folders = {path.parent.name for path in (SOURCE / "gbench").glob("*/__init__.py")}
    assert folders == set(rooms()) - {"errors"}
    for path in SOURCE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} says nothing of its room"


def test_imports_point_down_the_table() -> None:
    order = {room: place for place, room in enumerate(rooms())}
    climbs = [
        f"{module} -> {target}"
        for module, targets in ARROWS.items()
        for target in targets
        if room_of(module) in order and room_of(target) in order and order[room_of(module)] > order[room_of(target)]
    ]
    assert climbs == []


def test_imports_between_the_rooms_of_the_worker_point_down() -> None:
    def place(module: str) -> int:
        parts = module.split(".")
        return WORKER_ROOMS.index(parts[2]) if parts[2] in WORKER_ROOMS else len(WORKER_ROOMS)

    worker = [module for module in MODULES if module.startswith("gbench.pix2pix.")]
    climbs = [
        f"{module} -> {target}"
        for module in worker
        for target in ARROWS[module]
        if target.startswith("gbench.pix2pix.") and place(module) < place(target)
    ]
    assert climbs == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        tuple(TopologicalSorter(ARROWS).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' -> '.join(error.args[1])}") from None


def test_no_two_modules_share_a_name_but_a_verb_and_its_work() -> None:
    verbs = {path.stem for path in (SOURCE / "gbench" / "cli").glob("*.py")}
    places: dict[str, list[str]] = {}
    for module in MODULES:
        places.setdefault(module.rsplit(".", 1)[-1], []).append(module)
    shared = {name: where for name, where in places.items() if len(where) > 1 and name not in {*verbs, "__main__"}}
    assert shared == {}


def test_every_file_that_a_comment_names_exists() -> None:
    upstream = {"train.py", "test.py", "version.py"}  # upstream's own, and torch's
    known = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts} | upstream
    named = [
        f"{module}: {name}"
        for module, path in MODULES.items()
        for line in path.read_text().splitlines()
        if "003efc4c" not in line and "upstream" not in line.lower()
        for name in re.findall(r"(?<![\w./])(?:[a-z_0-9]+/)*([a-z_0-9]+\.py)\b", line)
        if name not in known
    ]
    assert named == []


def test_no_class_name_occurs_twice() -> None:
    places: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
