"""The CNDB record: one benchmark result, with the keys that the original `cndb_submit` reads and writes.

A record in memory always has the same form, whichever tool wrote it: figures are numbers, each with its unit. Values
that the original does not have are in the free mappings, mostly in `extra`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gbench.base.invalid import no_boolean
from gbench.cndb.values import figures_as_numbers, mapping_of, plain
from gbench.errors import RecordError

# 2: extra.machine; 3: perf_data.statistics and extra.first_reading; 4: perf_data.step.p99_s is null for few steps,
# perf_data.limits has tflop_cpu_s; 5: perf_data.limits has before_flop_share, after_flop_share and best_peak.
# 6: extra.exchange and extra.one_device, of several ranks.
# Every earlier record is one of the latest version.
RECORD_SCHEMA = 6
STATUS, FAILED = "status", "failed"  # key of `extra`, and its value in the record of a run that failed
MAY_BE_EMPTY = {"may_be_empty": True}  # context of a validation
LONGEST = 300  # characters of a name: an index row of PostgreSQL has at most 2,704 bytes, and here two names
Name = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Word = Annotated[str, Field(max_length=LONGEST)]
Count = Annotated[int, Field(gt=0, lt=2**31), BeforeValidator(no_boolean)]  # the database's integer

ABOVE_ZERO = ("perf_data.throughput", "perf_data.latency", "perf_data.step.p95_s")


class Named(BaseModel):
    """`soft_info` and `hard_info`: a name, which is the database's key, and free details."""

    model_config = ConfigDict(extra="allow")

    name: Name


class Record(BaseModel):
    """One record file, key by key."""

    model_config = ConfigDict(extra="forbid")

    model: Name
    batch_size: Count | None = None  # total over all devices
    framework: Name
    dataset: Name
    dev: Name
    dev_num: Count
    train_type: Word | None = None  # FP32, TF32, AMP, BF16
    eval_type: str | None = "-"
    dist_type: str | None = None  # Single, DP, DDP, hvd
    perf_data: dict[str, Any] | None = None
    metric_data: dict[str, Any] | None = None
    hyper_params: dict[str, Any] | None = None
    code_link: str | None = None
    soft_info: Named | None = None
    hard_info: Named | None = None
    md5_val: Word | None = None  # None: computed at submission
    tags: list[str] | None = None
    extra: dict[str, Any] | None = None
    _given: dict[str, Any] | None = PrivateAttr(None)

    @property
    def given_hyper_params(self) -> dict[str, Any] | None:
        """`hyper_params` with floats from 2**53 on, and -0.0, as they were given: the original's md5 is of these."""
        return self.hyper_params if self._given is None else self._given

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self.model_dump() == other.model_dump()

    @model_validator(mode="wrap")
    @classmethod
    def _one_form(cls, values: Any, make: Callable[[Any], Record]) -> Record:
        """Convert values to types that every store returns unchanged."""
        if isinstance(values, Record):
            return make(values)
        if not isinstance(values, dict):
            raise ValueError("not a mapping of record keys")
        dumped = {key: value.model_dump() if isinstance(value, Named) else value for key, value in values.items()}
        record = make({key: plain(value, str(key)) for key, value in dumped.items()})
        given = plain(dumped.get("hyper_params"), "hyper_params", floats_as_given=True)
        if repr(given) != repr(record.hyper_params):
            record._given = given
        return record

    @field_validator("perf_data")
    @classmethod
    def _figures_are_numbers(cls, perf: dict[str, Any] | None) -> dict[str, Any] | None:
        return perf and figures_as_numbers(perf)

    @field_validator("hard_info", mode="before")
    @classmethod
    def _hardware_is_a_mapping(cls, info: Any) -> Any:
        if not isinstance(info, dict):
            return info
        return {key: value if key == "name" else mapping_of(value) for key, value in info.items()}

    @model_validator(mode="after")
    def _has_a_result(self, info: ValidationInfo) -> Record:
        if (self.extra or {}).get(STATUS) == FAILED and info.context != MAY_BE_EMPTY:
            raise ValueError(f"it is of a run that failed ({(self.extra or {}).get('failure')}), and has no figures")
        if not self.perf_data and not self.metric_data and info.context != MAY_BE_EMPTY:
            raise ValueError("perf_data or metric_data is needed")
        if self.run_id is not None and len(self.run_id) > LONGEST:
            raise ValueError(f"extra.run_id has more than {LONGEST} characters")
        return self

    @property
    def run_id(self) -> str | None:
        """The run's id; None for a record of another tool."""
        run_id = (self.extra or {}).get("run_id")
        return run_id if isinstance(run_id, str) else None


def impossible(place: str, figure: float) -> str | None:
    """Why nothing can have been measured that has this figure; None for one that may be. place: `perf_data.latency`."""
    if place in ABOVE_ZERO and figure <= 0:
        return "not above 0"
    return "below 0" if place == "perf_data.variance" and figure < 0 else None


def require_possible(record: Record, where: str) -> Record:
    """The same record. Raises RecordError: one of its figures is impossible, so that it is of no measurement."""
    for place in (*ABOVE_ZERO, "perf_data.variance"):
        figure: Any = record.perf_data
        for key in place.split(".")[1:]:
            figure = figure.get(key) if isinstance(figure, dict) else None
        if isinstance(figure, int | float) and (why := impossible(place, figure)):
            raise RecordError(f"{where}: {place} {figure:g} is {why}", "fix or remove it")
    return record


def checked(values: Any, where: str, may_be_empty: bool = False) -> Record:
    """Make a record from `values`. may_be_empty: perf_data and metric_data may hold no figure, as in the original.

    Raises RecordError: they are invalid; names `where`, the key, and the reason.
    """
    try:
        return Record.model_validate(values, context=MAY_BE_EMPTY if may_be_empty else None)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        message = str(problem["msg"]).removeprefix("Value error, ")
        given = f" (it is {problem['input']!r:.60})" if key and not isinstance(problem["input"], dict) else ""
        more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise RecordError(
            f"{where}: {f'{key}: ' if key else ''}{message[:1].lower()}{message[1:]}{given}{more}",
            "fix it; docs/cndb.md has every key",
        ) from error
