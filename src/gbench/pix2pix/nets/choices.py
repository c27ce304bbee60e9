"""Look up a name that a user chose in a table."""

from collections.abc import Mapping
from typing import TypeVar

from gbench.errors import UsageError

T = TypeVar("T")


def pick(setting: str, name: str, table: Mapping[str, T]) -> T:
    """The entry of `table` called `name`. Raises UsageError, with every choice: there is none."""
    if name not in table:
        raise UsageError(f"{setting} is {name!r}, which is not known", f"choose one of {', '.join(table)}")
    return table[name]
