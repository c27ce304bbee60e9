"""The JSON format of the run folder, and the base of the classes that hold its files."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from gbench.base import strict_json

VERSION = 1  # of every JSON file and stream of the run folder
UNUSABLE = "restore the file, or measure again"  # the hint for a broken one


OfFacts = TypeVar("OfFacts", bound="Facts")


class Facts(BaseModel):
    """Base of the classes of host.json and environment.json: immutable.

    Unknown keys are kept. A key that the file lacks has its default, and is not written.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="allow", allow_inf_nan=False, defer_build=True)

    def values(self) -> dict[str, Any]:
        """The keys that are set, as plain values."""
        return self.model_dump(exclude_unset=True, by_alias=True)

    def changed(self: OfFacts, **changes: Any) -> OfFacts:
        """A copy with some facts changed or added. Raises pydantic.ValidationError: a value of another type."""
        return self.model_validate({**self.values(), **changes})


def to_json(values: dict[str, Any]) -> str:
    """The text of a file: indented, keys in the order given, floats as Python's shortest repr."""
    return strict_json.dumps(values, indent=2, ensure_ascii=False) + "\n"
