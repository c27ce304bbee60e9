"""Changes of the code that its tests should find: mutmut's small ones."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import Mutation, MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines

from removals import Change


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
