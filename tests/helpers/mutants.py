"""Changes of the code that its tests should find: mutmut's small ones, and functions whose body is an exception."""

from __future__ import annotations

import ast
import random
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import Mutation, MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines

REMOVED = 'raise RuntimeError("this function is removed")'
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Change:
    """One file as it is, and with one change; tests that run one of the lines may find it.

    function: the name and first line of the one without a body, as in its code object.
    """

    path: Path
    source: str
    changed: str
    lines: range
    function: tuple[str, int] = ("", 0)

    @property
    def first_line(self) -> int:
        """The first line that differs, from 1."""
        pairs = zip(self.source.splitlines(), self.changed.splitlines(), strict=False)
        return next(number for number, (before, after) in enumerate(pairs, 1) if before != after)


class _InFunctions(MutationVisitor):
    """mutmut leaves out functions with a decorator, as it would have to copy them; here nothing is copied."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        return not isinstance(node, cst.FunctionDef) and super()._skip_node_and_children(node)


def mutants(files: list[Path], count: int, seed: int) -> tuple[list[Change], int]:
    """A sample of all of mutmut's mutants within functions of these files, in a random order, and the number of all."""
    found = {path: _mutations(path) for path in files}
    every = [(path, number) for path in files for number in range(len(found[path][1]))]
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    return [_change(path, *found[path], number) for path, number in chosen], len(every)


def removals(files: list[Path], count: int, seed: int) -> tuple[list[Change], int]:
    """A sample of the functions that do something, each without its body, and the number of all."""
    every = []
    for path in files:
        source = path.read_text()
        lines = source.splitlines(keepends=True)
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, FUNCTIONS):
                continue
            body = node.body[ast.get_docstring(node) is not None :]
            if not body or isinstance(body[0], ast.Pass | ast.Raise) or ast.unparse(body[0]) == "...":
                continue
            first, last = _first_line(body[0]), body[-1].end_lineno or 0
            raising = " " * body[0].col_offset + REMOVED + "\n"
            changed = "".join([*lines[: first - 1], raising, *lines[first - 1 :]])  # the rest tells its closure
            every.append(Change(path, source, changed, range(first, last + 1), (node.name, _first_line(node))))
    every.sort(key=lambda change: (change.path, change.lines.start))
    chosen = random.Random(seed).sample(range(len(every)), min(count, len(every)))
    return [every[number] for number in sorted(chosen)], len(every)


def _first_line(node: ast.stmt) -> int:
    """That of its first decorator, if it has one."""
    return min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))


def _mutations(path: Path) -> tuple[cst.Module, list[Mutation]]:
    source = path.read_text()
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = _InFunctions(mutation_operators, get_ignored_lines(str(path), source, wrapper, None))
    module = wrapper.visit(visitor)
    inside = [one for one in visitor.mutations if isinstance(one.contained_by_top_level_function, cst.FunctionDef)]
    return module, inside


def _change(path: Path, module: cst.Module, mutations: list[Mutation], number: int) -> Change:
    one = mutations[number]
    changed = module.deep_replace(one.original_node, one.mutated_node)
    assert isinstance(changed, cst.Module)
    change = Change(path, module.code, changed.code, range(0))
    return Change(path, module.code, changed.code, _statement(module.code, change.first_line))


def _statement(source: str, line: int) -> range:
    """The lines of the innermost statement with this line; of one with a body, its head."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):  # outer ones come first
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            found = range(node.lineno, body[0].lineno if body else (node.end_lineno or 0) + 1)
    return found
