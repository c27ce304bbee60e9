"""Read untrusted files, text and YAML: completely, or with a one-sentence error; nothing in them is executed."""

import re
from collections import deque
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import yaml

from gbench.base.files import open_file, read_file
from gbench.errors import RecordError

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, but slower
    from yaml import SafeLoader  # type: ignore[assignment]

DEPTH = 100  # maximum nesting of lists and mappings; Python's own readers and writers fail at about 1000
ENCODING = "utf-8-sig"  # editors on Windows write a byte order mark
NO_TEXT = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8, surrogate-escaped
UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # byte order marks of UTF-16, surrogate-escaped
MOST_VALUES = 1_000_000  # a record of 8 GPUs has about a thousand
WHOLE_NUMBER = "tag:yaml.org,2002:int"
UNREADABLE = (OSError, UnicodeDecodeError)
NO_YAML = (yaml.YAMLError, ValueError, RecursionError)  # ValueError: an invalid date such as 2026-02-30


class PlainLoader(SafeLoader):
    """SafeLoader, whose error for a scalar that its tag can't hold (`!!bool x`) is a YAMLError in every case."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (LookupError, AttributeError) as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(None, None, f"{repr(node.value)[:60]} is no {kind}", node.start_mark) from error


class RepeatedKey(yaml.MarkedYAMLError):
    """A key that occurs twice in a mapping: YAML's own loader would silently take the last value."""


def read_text(path: Path, hint: str) -> str:
    """Read a whole text file. Raises RecordError, with `hint`: it is missing, not a file, or not UTF-8."""
    try:
        return read_file(path, ENCODING)
    except UNREADABLE as error:
        raise cant_read(path, error, hint) from error


def read_lines(path: Path, hint: str) -> Iterator[tuple[int, str | None]]:
    """The lines of a file with their numbers, from 1; None in place of a line that is not UTF-8.

    Raises RecordError: it is missing, not a file, or UTF-16.
    """
    try:
        with TextIOWrapper(open_file(path), ENCODING, "surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                if number == 1 and (line.startswith(UTF_16) or line[1:2] == "\0" or line[:1] == "\0"):
                    raise RecordError(f"{path} can't be read (it is UTF-16 text)", "save it as UTF-8")
                yield number, None if NO_TEXT.search(line) else line
    except OSError as error:
        raise cant_read(path, error, hint) from error


def cant_read(path: Path, error: OSError | UnicodeDecodeError, hint: str) -> RecordError:
    why = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
    return RecordError(f"{path} can't be read ({why})", hint)


def load_yaml(text: str) -> Any:
    """Load YAML text as plain values: text, numbers, dates, lists, mappings.

    Raises yaml.YAMLError, ValueError, RecursionError: it is not plain YAML, too large or too deep, or has a key twice;
    NO_YAML.
    """
    _look_before_loading(text)
    loader = PlainLoader(text)
    try:
        node = loader.get_single_node()
        _refuse_repeated(node)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def read_yaml(path: Path, hint: str) -> Any:
    """Load a YAML file as plain values. Raises RecordError, as `read_text` and `parse_yaml`."""
    return parse_yaml(read_text(path, hint), str(path), hint)


def parse_yaml(text: str, source: str, hint: str) -> Any:
    """`load_yaml` of a text from `source`. Raises RecordError, with `hint`: it is none, too large or too deep."""
    try:
        return load_yaml(text)
    except NO_YAML as error:
        raise RecordError(*not_yaml(source, error, hint)) from error


def not_yaml(source: str, error: Exception, hint: str) -> tuple[str, str]:
    """What is wrong with YAML text, and what to do, for one of NO_YAML. hint: if no key is there twice."""
    if isinstance(error, RepeatedKey):
        return f"{source}{line_of(error)}: {error.problem}", "leave one of the two out"
    return f"{source}{line_of(error)} is not plain YAML ({why_of(error)})", hint


def whole_numbers(text: str) -> Iterator[tuple[str, str]]:
    """The integers in the mappings of YAML text: dotted key, and the number as written.

    Call it only on text that `load_yaml` has accepted; raises as it does.
    """
    return _whole_numbers(yaml.compose(text, Loader=SafeLoader), "")


def line_of(error: Exception) -> str:
    """The position of a YAML error: ` line 3`; empty if unknown."""
    mark = getattr(error, "problem_mark", None)
    return f" line {mark.line + 1}" if mark else ""


def why_of(error: Exception) -> str:
    """The message of a YAML error, on one line."""
    if "integer string conversion" in str(error):
        return "a number has thousands of digits"
    return getattr(error, "problem", None) or str(error).partition("\n")[0]


def _look_before_loading(text: str) -> None:
    """Reject text that is too deep or too large, before loading it.

    libyaml's loader crashes the process on text nested about ten thousand levels deep, and a few lines of aliases of
    aliases can expand to more values than fit in memory.
    """
    sizes: dict[str | None, int] = {}  # anchor -> number of values that an alias of it expands to
    opened: list[tuple[str | None, int]] = []
    values = 0
    for event in yaml.parse(text, Loader=SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, values))
            values += 1
        elif isinstance(event, yaml.AliasEvent):
            # An alias inside its own collection recurses until it is too deep.
            recursive = any(anchor == event.anchor for anchor, _ in opened)
            values += values * DEPTH if recursive else sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
        if len(opened) > DEPTH:
            raise yaml.YAMLError(f"it nests more than {DEPTH} deep")
        if values > MOST_VALUES:
            raise yaml.YAMLError(f"it holds more than {MOST_VALUES:,} values, aliases written out")


def _refuse_repeated(root: Any) -> None:
    """Raises RepeatedKey: a mapping of the document has a key twice, merged ones (`<<`) aside."""
    waiting, met = deque([(root, "")]), set[int]()
    while waiting:
        node, name = waiting.popleft()
        if id(node) in met or not isinstance(node, yaml.CollectionNode):
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(one, name) for one in node.value]
            continue
        keys: set[str] = set()
        for key, value in node.value:
            full = f"{name}.{key.value}".removeprefix(".")
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in keys:
                    raise RepeatedKey(None, None, f"{full} is there twice", key.start_mark)
                keys.add(key.value)
            waiting += [(key, name), (value, full)]


def _whole_numbers(node: Any, before: str) -> Iterator[tuple[str, str]]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if value.tag == WHOLE_NUMBER:
            yield f"{before}{key.value}", value.value
        yield from _whole_numbers(value, f"{before}{key.value}.")
