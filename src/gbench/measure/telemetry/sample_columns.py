"""Telemetry as read: samples as columns of numbers, for days of them on many GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple, Protocol, get_args, get_type_hints, overload

import numpy as np
from numpy.typing import NDArray

from gbench.measure.telemetry.samples import IDLE_ENDS, IDLE_STARTS, GpuSample, Header, HostSample, Sample
from gbench.runfolder.telemetry_result import Missing

Floats = NDArray[np.float64]
TIMES = ("t_s", "took_s", "own_cpu_s")


class Timed(Protocol):
    """Steps, by when they ended and how long they took."""

    @property
    def end_s(self) -> Floats: ...
    @property
    def step_s(self) -> Floats: ...


class Window(NamedTuple):
    """A stretch of CLOCK_MONOTONIC, in seconds."""

    start_s: float
    end_s: float

    @classmethod
    def of(cls, steps: Timed) -> Window:
        """From the start of the first step to the end of the last. Raises ValueError: there are no steps."""
        return cls(float((steps.end_s - steps.step_s).min()), float(steps.end_s.max()))

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


class Readings(NamedTuple):
    """What was read of one field: the numbers of the samples that have it, and its values."""

    places: NDArray[np.int32]
    values: NDArray[Any]
    """Whole numbers as int64, or as objects if one has more bits; other numbers as float64."""

    @classmethod
    def of(cls, values: Sequence[Any], kind: Any) -> Readings:
        """From a value per sample, None if unknown. Raises ValueError: a value is not of this kind, or not finite."""
        places = [place for place, value in enumerate(values) if value is not None]
        known = [value for value in values if value is not None]
        if not set(map(type, known)) <= TYPES[kind]:
            raise ValueError(f"not all of {kind}")
        if kind is float and not np.isfinite(known).all():
            raise ValueError("not all finite")
        if kind is float:
            column: NDArray[Any] = np.array(known, dtype=np.float64)
        elif kind is int and all(-(2**63) <= value < 2**63 for value in known):
            column = np.array(known, dtype=np.int64)
        else:
            column = np.fromiter(known, dtype=object, count=len(known))
        return cls(np.array(places, dtype=np.int32), column)

    @classmethod
    def joined(cls, parts: Sequence[tuple[int, Readings]]) -> Readings:
        """All of the parts, each with the number of its first sample."""
        places = [part.places + np.int32(first) for first, part in parts]
        return cls(np.concatenate(places), np.concatenate([part.values for _, part in parts]))

    def part(self, first: int, last: int) -> Readings:
        """Those of the samples `first` to `last` (exclusive), counted from `first`."""
        low, high = np.searchsorted(self.places, [first, last])
        return Readings(self.places[low:high] - np.int32(first), self.values[low:high])

    def at(self, place: int) -> Any:
        """The value of one sample, None if unknown."""
        found = int(np.searchsorted(self.places, place))
        known = found < len(self.places) and self.places[found] == place
        return self.values[found : found + 1].tolist()[0] if known else None

    def listed(self) -> list[Any]:
        """The values as Python's own numbers."""
        values: list[Any] = self.values.tolist()
        return values


Device = dict[str, Readings]


@dataclass(frozen=True, eq=False)
class Samples(Sequence[Sample]):
    """Samples in order; a column per field, and each item a Sample."""

    t_s: Floats
    took_s: Floats
    own_cpu_s: Floats
    host: Device
    """By field of HostSample."""
    gpus: list[Device]
    """By field of GpuSample."""
    rapl_uj: list[Readings]

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Samples:
        """The columns of these samples, which have the same devices."""
        return cls.of_values([asdict(sample) for sample in samples])

    @classmethod
    def of_values(cls, rows: Sequence[dict[str, Any]]) -> Samples:
        """From the fields of each sample; one that is left out is None."""
        gpus, domains = (len(rows[0][name]) if rows else 0 for name in ("gpus", "rapl_uj"))
        times: dict[str, Any] = {name: np.array([row[name] for row in rows], dtype=float) for name in TIMES}
        return cls(
            **times,
            host=_device([row["host"] for row in rows], HOST_FIELDS),
            gpus=[_device([row["gpus"][gpu] for row in rows], GPU_FIELDS) for gpu in range(gpus)],
            rapl_uj=[Readings.of([row["rapl_uj"][domain] for row in rows], int) for domain in range(domains)],
        )

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """All samples of the parts, in order."""
        if len(parts) < 2:
            return parts[0] if parts else cls.of([])
        firsts = np.cumsum([0, *map(len, parts)]).tolist()

        def joined(columns: Iterable[Readings]) -> Readings:
            return Readings.joined(list(zip(firsts, columns, strict=False)))

        times: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in TIMES}
        return cls(
            **times,
            host={name: joined(part.host[name] for part in parts) for name in HOST_FIELDS},
            gpus=[
                {name: joined(part.gpus[gpu][name] for part in parts) for name in GPU_FIELDS}
                for gpu in range(len(parts[0].gpus))
            ],
            rapl_uj=[joined(part.rapl_uj[domain] for part in parts) for domain in range(len(parts[0].rapl_uj))],
        )

    def part(self, first: int, last: int) -> Samples:
        """The samples `first` to `last` (exclusive)."""
        times: dict[str, Any] = {name: getattr(self, name)[first:last] for name in TIMES}
        return Samples(
            **times,
            host={name: one.part(first, last) for name, one in self.host.items()},
            gpus=[{name: one.part(first, last) for name, one in gpu.items()} for gpu in self.gpus],
            rapl_uj=[one.part(first, last) for one in self.rapl_uj],
        )

    def within(self, start_s: float, end_s: float) -> Samples:
        """The samples from one time to another, both included."""
        return self.part(
            int(np.searchsorted(self.t_s, start_s, "left")), int(np.searchsorted(self.t_s, end_s, "right"))
        )

    def __len__(self) -> int:
        return len(self.t_s)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> Samples: ...
    def __getitem__(self, place: int | slice) -> Sample | Samples:
        if isinstance(place, slice):
            first, last, _ = place.indices(len(self))
            return self.part(first, last)
        times: dict[str, Any] = {name: float(getattr(self, name)[place]) for name in TIMES}
        place %= len(self)
        return Sample(
            **times,
            gpus=[GpuSample(**{name: one.at(place) for name, one in gpu.items()}) for gpu in self.gpus],
            host=HostSample(**{name: one.at(place) for name, one in self.host.items()}),
            rapl_uj=[one.at(place) for one in self.rapl_uj],
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Samples) and list(self) == list(other)


@dataclass(frozen=True)
class Telemetry:
    header: Header | None = None
    samples: Samples = field(default_factory=lambda: Samples.of([]))
    marks: dict[str, float] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    ended: str | None = None
    """Why the sampler stopped; None if it was killed or still runs."""

    @property
    def idle(self) -> Window | None:
        """The time during which the devices were left idle before the run, if any."""
        idle = Window(self.marks.get(IDLE_STARTS, 0.0), self.marks.get(IDLE_ENDS, 0.0))
        return idle if IDLE_STARTS in self.marks and idle.length_s > 0 else None


def plain_samples(rows: Sequence[Any], header: Header, after_s: float) -> Samples | None:
    """The samples of these lines; None if a line is not one, or not just as the sampler writes it.

    What is checked of each line alone, for many at once. after_s: the time of the sample before.
    """
    devices = len(header.gpus), len(header.rapl)
    try:
        plain = (
            set(map(len, rows)) <= {PARTS}
            and {row["kind"] for row in rows} <= {"sample"}
            and {(len(row["gpus"]), len(row["rapl_uj"])) for row in rows} <= {devices}
            and {type(row[name]) for name in TIMES for row in rows} <= {int, float}
        )
        samples = Samples.of_values(rows) if plain else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    return samples if samples is not None and _complete(samples, rows, after_s) else None


def _complete(samples: Samples, rows: Sequence[dict[str, Any]], after_s: float) -> bool:
    """Whether the columns hold every value of the lines, and the times are finite and go on."""
    gpus = [[row["gpus"][number] for row in rows] for number in range(len(samples.gpus))]
    given = [[row["host"] for row in rows], *gpus]
    return (
        all(np.isfinite(getattr(samples, name)).all() for name in TIMES)
        and bool((np.diff(samples.t_s, prepend=after_s) > 0).all())
        and all(
            sum(map(len, readings)) == sum(len(one.values) for one in device.values())
            for readings, device in zip(given, [samples.host, *samples.gpus], strict=True)
        )
    )


def _device(rows: Sequence[dict[str, Any]], kinds: dict[str, Any]) -> Device:
    return {name: Readings.of([row.get(name) for row in rows], kind) for name, kind in kinds.items()}


def _kinds(of: type) -> dict[str, Any]:
    """Field -> the type of its known values."""
    return {name: get_args(hint)[0] for name, hint in get_type_hints(of).items() if not name.startswith("_")}


HOST_FIELDS, GPU_FIELDS = _kinds(HostSample), _kinds(GpuSample)
TYPES: dict[Any, set[type]] = {int: {int}, float: {int, float}, list[str]: {list}}  # as JSON has them
PARTS = len(fields(Sample)) + 1  # of a line, with its kind
