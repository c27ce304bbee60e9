"""The keys of a spec file, and the type of each value. The keys are the rows of `request.py`."""

from collections.abc import Callable
from dataclasses import MISSING
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    field_validator,
)
from pydantic_core import PydanticCustomError

from gbench.settings import quantities
from gbench.settings.literals import ContainerName, DataSource, Device, Network, Precision, RunnerName
from gbench.settings.model_config import Frozen
from gbench.settings.quantities import SHARE, SPAN
from gbench.settings.request import ROWS, Kind, Request, RequestRow


def _parsed(types: tuple[type, ...], parse: Callable[[str], Any], wanted: str) -> BeforeValidator:
    """Parse a value of one of these types; `parse` returns None for invalid text."""

    def parsed(value: Any) -> Any:
        result = parse(str(value)) if type(value) in types else None
        if result is None:
            raise PydanticCustomError("quantity", "input should be {wanted}", {"wanted": wanted})
        return result

    return BeforeValidator(parsed)


def _database(value: Any) -> Any:
    return None if value is False or (isinstance(value, str) and value.lower() == "false") else value


def _variables(value: Any) -> Any:
    """Accept whole numbers as text. Other values stay an error: YAML reads 1.10 as 1.1 and `no` as false."""
    if isinstance(value, dict):
        return {key: str(one) if type(one) is int else one for key, one in value.items()}
    return value


def _scalars(value: Any) -> Any:
    for key, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, dict | list):
            raise PydanticCustomError("scalar", f"{key}: input should be one value, its key dotted: network.ngf: 16")
    return value


def _any_case(choices: Any) -> Any:
    """One of these words, in any case."""
    as_written = {word.lower(): word for word in get_args(choices)}
    change = BeforeValidator(lambda value: as_written.get(value.lower(), value) if isinstance(value, str) else value)
    return Annotated[choices, change]


PRECISION = _any_case(Precision)
TYPES: dict[Kind, Any] = {
    Kind.TEXT: str,
    Kind.DATASETS_DIR: str,
    Kind.COUNT: Annotated[int, Field(gt=0, lt=quantities.MOST)],
    Kind.NATURAL: Annotated[int, Field(ge=0, lt=quantities.MOST_SEED)],
    Kind.AMOUNT: Annotated[float, Field(ge=0, allow_inf_nan=False)],
    Kind.FLAG: bool,
    Kind.SPAN: Annotated[float | None, _parsed((str, int, float), quantities.seconds, SPAN)],
    Kind.SHARE: Annotated[float | None, _parsed((str,), quantities.share, SHARE)],
    Kind.PRECISION: PRECISION,
    Kind.DEVICE: _any_case(Device),
    Kind.RUNNER: _any_case(RunnerName),
    Kind.NETWORK: Network,
    Kind.ENDPOINT: Annotated[str, _parsed((str,), quantities.endpoint, quantities.ENDPOINT)],
    Kind.GPUS: Annotated[str, _parsed((str, int), quantities.gpus, quantities.GPUS)],
    Kind.DATA_SOURCE: DataSource | None,
    Kind.PROFILE: Literal["reference", "optimized"] | None,  # a custom one is written as the switches of `set`
    Kind.DATABASE: Annotated[str | None, BeforeValidator(_database)],
    Kind.IGNORE_CHECK: Annotated[bool, _parsed((str, bool), quantities.ignore_check, "false or ignore_check")],
    Kind.SETTINGS: Annotated[dict[str, Any], BeforeValidator(_scalars)],
    Kind.VARIABLES: Annotated[dict[str, str], BeforeValidator(_variables)],
    Kind.CONTAINER: _any_case(ContainerName),
    Kind.LINES: Annotated[
        tuple[str, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
    ],
}
PLAIN = (
    Kind.TEXT,
    Kind.DATASETS_DIR,
    Kind.ENDPOINT,
    Kind.GPUS,
    Kind.COUNT,
    Kind.NATURAL,
)  # may be empty where the default is None


class Strict(Frozen):
    """Nothing is converted: "32" is not a number."""

    model_config = ConfigDict(strict=True)

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        """Reject the one character that YAML can write and a command line can't."""
        if isinstance(value, str) and "\0" in value:
            raise PydanticCustomError("nul", "input should hold no NUL")
        return value


def _field(row: RequestRow) -> Any:
    type_ = TYPES[row.kind] | None if row.kind in PLAIN and row.default is None else TYPES[row.kind]
    if row.kind in (Kind.SETTINGS, Kind.VARIABLES):
        return type_, Field(default_factory=dict)
    return type_, ... if row.default is MISSING else row.default


KEYS = tuple(row.key for row in ROWS.values())
SpecFile: type[Strict] = create_model("SpecFile", __base__=Strict, **{row.key: _field(row) for row in ROWS.values()})


def request_from(values: dict[str, Any], command_line: str) -> Request:
    """The request that a spec file's keys and values describe. Raises ValidationError."""
    file = SpecFile.model_validate(values)
    values = {row.name: getattr(file, row.key) for row in ROWS.values()}
    values["settings"] = tuple(f"{key}={_yaml(value)}" for key, value in values["settings"].items())
    return Request(**values, command_line=command_line)


def _yaml(value: Any) -> str:
    """A plain value as --set takes it."""
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("\n").removesuffix("\n...")
