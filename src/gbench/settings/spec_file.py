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
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError

from gbench.base.untrusted import NO_YAML, line_of, load_yaml, read_text, repeated_key, whole_numbers, why_of
from gbench.errors import RecordError, UsageError
from gbench.settings import quantities
from gbench.settings.model_file import first_problem
from gbench.settings.quantities import SHARE, SPAN, VARIABLE_OF
from gbench.settings.resolve import Request, Resolved, resolve
from gbench.settings.spec import DataSource, Device, Frozen, Precision, RunnerName

MOST_BYTES = 1 << 20
BY_KEY = ("set", "env")  # mappings that one laid over another adds to
PLAIN_NUMBER = re.compile(r"0|-?[1-9][0-9]*")
HINT = "docs/ab.md shows a whole one"


def _span(value: Any) -> Any:
    found = quantities.seconds(str(value)) if isinstance(value, str | int | float) else None
    if found is None or isinstance(value, bool):
        raise PydanticCustomError("span", f"input should be {SPAN}")
    return found


def _share(value: Any) -> Any:
    found = quantities.share(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("share", f"input should be {SHARE}")
    return found


def _check(value: Any) -> Any:
    found = value if isinstance(value, bool) else quantities.ignore_check(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("check", "input should be false or ignore_check")
    return found


def _database(value: Any) -> Any:
    return None if value is False or (isinstance(value, str) and value.lower() == "false") else value


def _words(value: Any) -> Any:
    """A variable's value: whole numbers are text too. YAML's 1.10 is 1.1, and its `no` is false: those it can't say."""
    if isinstance(value, dict):
        return {key: str(one) if type(one) is int else one for key, one in value.items()}
    return value


def _scalars(value: Any) -> Any:
    for key, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, dict | list):
            raise PydanticCustomError("scalar", f"{key}: input should be one value, its key dotted: network.ngf: 16")
    return value


class SpecFile(Frozen):
    """The keys, each with the type of its value. Nothing is taken for something else: "32" is no number."""

    model_config = ConfigDict(strict=True)

    model: str
    batch_size: PositiveInt
    device_count: PositiveInt
    precision: Precision
    database: Annotated[str | None, BeforeValidator(_database)] = None
    ignore_check: Annotated[bool, BeforeValidator(_check)] = False
    steps: PositiveInt | None = None
    warmup: NonNegativeInt | None = None
    until_ci: Annotated[float | None, BeforeValidator(_share)] = None
    max_time: Annotated[float | None, BeforeValidator(_span)] = None
    device: Device = "cuda"
    runner: RunnerName = "docker"
    seed: NonNegativeInt = 0
    deterministic: bool = False
    timeout: Annotated[float | None, BeforeValidator(_span)] = None
    set: Annotated[dict[str, Any], BeforeValidator(_scalars)] = Field(default_factory=dict)
    env: Annotated[dict[str, str], BeforeValidator(_words)] = Field(default_factory=dict)
    data: DataSource | None = None
    profile: Literal["reference", "optimized"] | None = None
    cache_dir: str | None = None
    cache_limit: NonNegativeFloat = 4.0
    image: str | None = None
    dataset: str | None = None
    datasets_dir: str | None = None
    cndb_dir: str | None = None
    code_link: str | None = None
    run_model_file: str | None = None
    dockerfile: str | None = None
    config: str | None = None
    from_image: str | None = None
    results: str = "results"
    logs: str = "logs"

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        """YAML can say what no command line and no path can."""
        if isinstance(value, str) and "\0" in value:
            raise PydanticCustomError("nul", "input should hold no NUL")
        return value

    def request(self, command_line: str) -> Request:
        """The same as the command line's."""
        return Request(
            model=self.model,
            batch_size=self.batch_size,
            device_count=self.device_count,
            precision=self.precision,
            database=self.database,
            ignore_check=self.ignore_check,
            device=self.device,
            runner=self.runner,
            steps=self.steps,
            warmup=self.warmup,
            until_ci=self.until_ci,
            max_time_s=self.max_time,
            seed=self.seed,
            deterministic=self.deterministic,
            timeout_s=self.timeout,
            from_image=self.from_image,
            settings=tuple(f"{key}={_yaml(value)}" for key, value in self.set.items()),
            env=self.env,
            data_source=self.data,
            profile=self.profile,
            cache_dir=self.cache_dir,
            cache_limit_gib=self.cache_limit,
            options={
                variable: value for key, variable in VARIABLE_OF.items() if (value := getattr(self, key)) is not None
            },
            results_dir=self.results,
            logs_dir=self.logs,
            command_line=command_line,
        )


KEYS = tuple(SpecFile.model_fields)


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
        return SpecFile.model_validate(dict(values)).request(command_line)
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


def _yaml(value: Any) -> str:
    """A plain value as --set takes it."""
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("\n").removesuffix("\n...")
