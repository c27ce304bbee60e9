"""A spec file: the command line of `gbench launch` as one YAML mapping.

    model: pix2pix_resnet_9blocks
    batch_size: 32
    device_count: 1
    precision: FP32
    steps: 200
    set: {data.workers: 8}
    env: {OMP_NUM_THREADS: 4}

Keys are the names of arguments and of long options, with `_` for `-`. A missing key has the value that it has on
the command line: of the variable, configs/MODEL.yaml, or the default. Relative paths start in the working folder.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gbench.base.invalid import first_problem
from gbench.base.untrusted import load_yaml, read_text, whole_numbers
from gbench.errors import UsageError
from gbench.settings.model_file import yaml_errors
from gbench.settings.request import Request
from gbench.settings.yaml_keys import KEYS, request_from

MOST_BYTES = 1 << 20
PLAIN_NUMBER = re.compile(r"0|-?[1-9][0-9]*")  # YAML reads others as another number: 0123, 1_000, 12:30
HINT = "docs/ab.md shows a whole one"


def read_mapping(path: Path, more_keys: Collection[str] = (), hint: str = HINT) -> dict[str, Any]:
    """The keys and values of a spec file, which may have `more_keys`; values are not validated yet.

    Raises UsageError: it is no readable YAML mapping, too large, or a key is unknown or given twice.
    """
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise UsageError(f"{path} is larger than {MOST_BYTES >> 20} MiB", "a spec file has some ten lines")
    with yaml_errors(path):
        text = read_text(path, hint)
        values = load_yaml(text)
        numbers = list(whole_numbers(text))
    if not isinstance(values, dict):
        raise UsageError(f"{path} is not a mapping of keys to values", hint)
    for key, number in numbers:
        if not key.startswith("set.") and not PLAIN_NUMBER.fullmatch(number):  # the values of `set` are YAML
            raise UsageError(
                f"{path}: {key}: {number} is another number to YAML", "write it plainly, or text in quotes"
            )
    require_known(values, str(path), more_keys)
    return values


def require_known(values: Mapping[Any, Any], where: str, more_keys: Collection[str] = ()) -> None:
    """Raises UsageError: a key is neither one of a spec file nor one of `more_keys`. where: the file, for the error."""
    known = list(dict.fromkeys([*KEYS, *more_keys]))
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key).replace("-", "_"), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"{where}: there is no key {key!r}", hint)


def request_of(values: Mapping[str, Any], where: str, command_line: str = "", hint: str = HINT) -> Request:
    """The run that the keys and values of a spec file describe.

    Raises UsageError: a key is unknown or missing, or its value has the wrong type.
    """
    require_known(values, where)
    with invalid_values(where, hint, "fix the file"):
        return request_from(dict(values), command_line)


@contextmanager
def invalid_values(where: str, example: str, hint: str) -> Iterator[None]:
    """Turn a ValidationError into a UsageError. example: the hint if a value is missing."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            raise UsageError(f"{where} does not say {first['loc'][0]}", example) from error
        raise UsageError(f"{where}: {first_problem(error)}", hint) from error
