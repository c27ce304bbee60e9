"""Which runs a sweep is made of: every combination of what was asked for, and which of them can't run here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError

from gbench.base.invalid import first_problem
from gbench.datasets.layout import phase_images
from gbench.errors import GbenchError, UsageError
from gbench.machine.gpus import Gpus
from gbench.runs.prepare import for_this_machine
from gbench.settings.check_spec import check_spec
from gbench.settings.literals import DataSource, Precision
from gbench.settings.resolve import Resolved
from gbench.settings.spec import RunSpec
from gbench.settings.spec_file import read_mapping, request_of, resolve_file

Scaling = Literal["strong", "weak"]  # more devices share one total batch; or each has a batch of its own
HINT = "docs/sweep.md shows a whole one"


class Place(BaseModel):
    """A cell of the matrix: what tells one run of a sweep from the others. batch_size: total over all devices."""

    model_config = ConfigDict(extra="forbid")

    batch_size: PositiveInt
    device_count: PositiveInt
    precision: Precision
    data: DataSource

    def __str__(self) -> str:
        devices = "1 device" if self.device_count == 1 else f"{self.device_count} devices"
        source = "" if self.data == "real" else f", {self.data} data"
        return f"{self.precision}, {devices}, batch {self.batch_size}{source}"

    def spec(self, base: RunSpec) -> RunSpec:
        """`base` in this place."""
        data = base.config.data.model_copy(update={"source": self.data})
        return base.model_copy(
            update={
                "batch_size": self.batch_size,
                "device_count": self.device_count,
                "precision": self.precision,
                "config": base.config.model_copy(update={"data": data}),
            }
        )


def _several(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Item = TypeVar("Item")
Several = Annotated[list[Item], BeforeValidator(_several), Field(min_length=1)]


class Axes(BaseModel):
    """What is combined with what. Batch sizes are total, or a device's; no data: that of the other settings."""

    model_config = ConfigDict(extra="forbid", strict=True)

    batch_size: Several[PositiveInt] | None = None
    per_device_batch_size: Several[PositiveInt] | None = None
    device_count: Several[PositiveInt]
    precision: Several[Precision]
    data: Several[DataSource] | None = None

    @property
    def scaling(self) -> Scaling:
        """What more devices do to the batch."""
        return "strong" if self.batch_size else "weak"

    def places(self, data: DataSource) -> list[Place]:
        """All combinations: data and precisions in the order given, numbers ascending.

        Args:
            data: the source where the axes have none.
        """
        return [
            Place(batch_size=size if self.batch_size else size * count, device_count=count, precision=one, data=source)
            for source in dict.fromkeys(self.data or [data])
            for one in dict.fromkeys(self.precision)
            for count in sorted({*self.device_count})
            for size in sorted({*(self.batch_size or self.per_device_batch_size or [])})
        ]


def read_matrix(path: Path, environ: Mapping[str, str], command_line: str) -> tuple[Axes, Resolved]:
    """A spec file in which axes may be lists: the axes, and what all cells have in common.

    Raises:
        UsageError: it is no such file; a value is missing, of another type, not allowed, or contradicts another.
    """
    values = read_mapping(path, Axes.model_fields, HINT)
    given = {key: values.pop(key) for key in Axes.model_fields if key in values}
    try:
        axes = Axes.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            raise UsageError(f"{path} does not say {first['loc'][0]}", HINT) from error
        raise UsageError(f"{path}: {first_problem(error)}", HINT) from error
    if (axes.batch_size is None) == (axes.per_device_batch_size is None):
        raise UsageError(f"{path} must say either batch_size, the total, or per_device_batch_size", HINT)

    def read(place: dict[str, Any]) -> Resolved:
        return resolve_file(request_of({**values, **place}, str(path), command_line, HINT), str(path), environ)

    return axes, common_to(axes, read)


def common_to(axes: Axes, read: Callable[[dict[str, Any]], Resolved]) -> Resolved:
    """What all cells have in common: all other settings, as they are read beside a place in which they can stand.

    Some need several devices, and some are for one alone; a cell without them is skipped, see `why_not`.

    Args:
        read: reads them beside batch_size, device_count and precision. Raises UsageError.

    Raises:
        UsageError: as `read`, beside one device and beside the most.
    """
    problem = None
    for count in (1, max(axes.device_count)):
        try:
            return read({"batch_size": count, "device_count": count, "precision": "FP32"})
        except UsageError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def why_not(place: Place, base: RunSpec, gpus: Gpus, images: int | None) -> GbenchError | None:
    """What stands in the way of a run in this place, on a host with these GPUs; None where nothing is known to.

    Args:
        images: that an epoch has; None where that is not known.
    """
    spec = place.spec(base)
    try:
        check_spec(spec)
        for_this_machine(spec, gpus)
    except GbenchError as error:
        return error
    if images is not None and spec.config.schedule.drop_last and images < spec.batch_size:
        return UsageError(
            f"the dataset gives {images} images, fewer than one batch of {spec.batch_size}",
            "take smaller batches, a larger dataset, or --set schedule.drop_last=false",
        )
    return None


def require_some(places: Sequence[Place], reasons: Sequence[GbenchError | None]) -> None:
    """Raise the first of the reasons, one a place, where none of the places is without one."""
    first = reasons[0]
    if first is not None and all(reasons):
        raise type(first)(f"none of the cells can run; {places[0]}: {first.what}", first.hint)


def images_of(spec: RunSpec) -> int | None:
    """Images in an epoch of a run; None where its dataset has no place yet."""
    if not Path(spec.datasets_dir, spec.dataset_subdir, spec.config.data.phase).is_dir():
        return None
    found = len(phase_images(Path(spec.datasets_dir, spec.dataset_subdir), spec.config.data.phase))
    return min(found, spec.config.data.max_dataset_size or found)
