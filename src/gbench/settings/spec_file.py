"""A spec file: what `gbench launch`'s command line says, as one YAML mapping.

    model: pix2pix_resnet_9blocks
    batch_size: 32
    device_count: 1
    precision: FP32
    steps: 200
    set: {data.workers: 8}
    env: {OMP_NUM_THREADS: 4}

Keys are the names of arguments and of long options, with `_` for `-`. What a file leaves out is as on the command line:
the variable, then configs/MODEL.yaml, then the default. Relative paths are those of the working folder, as there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gbench.base.invalid import first_problem
from gbench.base.untrusted import NO_YAML, line_of, load_yaml, read_text, repeated_key, whole_numbers, why_of
from gbench.errors import RecordError, UsageError
from gbench.settings.request import Request
from gbench.settings.resolve import Resolved, resolve
from gbench.settings.yaml_keys import KEYS, request_from

MOST_BYTES = 1 << 20
BY_KEY = ("set", "env")  # mappings that one laid over another adds to
PLAIN_NUMBER = re.compile(r"0|-?[1-9][0-9]*")
HINT = "docs/ab.md shows a whole one"


def read_spec_file(path: Path, command_line: str = "") -> Request:
    """The run that a spec file describes.

    Args:
        command_line: what the record is to say that started the run.

    Raises:
        UsageError: as `read_mapping` and `request_of`.
    """
    return request_of(read_mapping(path), str(path), command_line)


def read_mapping(path: Path, beside: Collection[str] = (), hint: str = HINT) -> dict[str, Any]:
    """The keys and values of a spec file, or of a file that has other keys too; values are not looked at yet.

    Args:
        beside: keys that the file may have beside those of a spec file. hint: what shows such a file.

    Raises:
        UsageError: it is not there, no file, too large, no YAML mapping, a key is unknown or given twice, or a number
            is another one to YAML.
    """
    try:
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is larger than {MOST_BYTES >> 20} MiB", "a spec file has some ten lines")
        text = read_text(path, hint)
        values = load_yaml(text)
        repeated = repeated_key(text)
        odd = next((one for one in whole_numbers(text) if _is_odd(*one)), None)
    except RecordError as error:
        raise UsageError(error.what, error.hint) from error
    except NO_YAML as error:
        raise UsageError(f"{path}{line_of(error)} is not YAML ({why_of(error)})", "mend the file") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} is not a mapping of keys to values", hint)
    if repeated:
        raise UsageError(f"{path}: {repeated} is there twice", "leave one of the two out")
    if odd:
        raise UsageError(f"{path}: {odd[0]}: {odd[1]} is another number to YAML", "write it plainly, or text in quotes")
    require_known(values, str(path), beside)
    return values


def _is_odd(key: str, number: str) -> bool:
    """Whether YAML has another number than who wrote 0123, 1_000 or 12:30. What `set` holds is YAML, as --set."""
    return not key.startswith("set.") and not PLAIN_NUMBER.fullmatch(number)


def require_known(values: Mapping[Any, Any], where: str, beside: Collection[str] = ()) -> None:
    """Refuse a key that is none of a spec file, and not among those `beside` it.

    Args:
        where: the file, for the sentence.

    Raises:
        UsageError: there is one; names the nearest that is known.
    """
    known = list(dict.fromkeys([*KEYS, *beside]))
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key).replace("-", "_"), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"{where}: there is no key {key!r}", hint)


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above` in place of its own; `set` and `env` are laid over each other key by key."""
    merged = {**below, **above}
    for key in BY_KEY:
        both = below.get(key), above.get(key)
        if isinstance(both[0], dict) and isinstance(both[1], dict):
            merged[key] = {**both[0], **both[1]}
    return merged


def request_of(values: Mapping[str, Any], where: str, command_line: str = "", hint: str = HINT) -> Request:
    """The run that keys and values of a spec file describe.

    Args:
        where: the file, or the place in it, for the sentence. hint: what shows such a file.

    Raises:
        UsageError: a key is unknown or missing, or its value has another type than it must have.
    """
    require_known(values, where)
    try:
        return request_from(dict(values), command_line)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            raise UsageError(f"{where} does not say {first['loc'][0]}", hint) from error
        raise UsageError(f"{where}: {first_problem(error)}", "mend the file") from error


def resolve_file(request: Request, where: str, environ: Mapping[str, str]) -> Resolved:
    """As `resolve`; what it complains of is told of the file. Raises UsageError."""
    try:
        return resolve(request, environ)
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", error.hint) from error
