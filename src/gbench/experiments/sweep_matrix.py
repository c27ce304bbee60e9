"""The cells of a sweep: every combination of the axes, and which of them can't run here."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, PositiveInt

from gbench.datasets.layout import phase_images
from gbench.errors import GbenchError, UsageError
from gbench.machine.gpus import Gpus
from gbench.preflight.run_checks import broken_bounds, require_fit
from gbench.runs.prepare import for_this_machine
from gbench.settings.check_spec import check_spec
from gbench.settings.defaults import resolve_values
from gbench.settings.literals import DataSource, Precision
from gbench.settings.model_config import Frozen
from gbench.settings.resolve import Resolved
from gbench.settings.spec import RunSpec
from gbench.settings.spec_file import invalid_values, read_mapping
from gbench.settings.yaml_keys import PRECISION, Strict

Scaling = Literal["strong", "weak"]  # fixed total batch; fixed batch per device
HINT = "docs/sweep.md shows a whole one"


class Place(Frozen):
    """The position of a cell in the matrix: the settings in which the runs of a sweep differ."""

    batch_size: PositiveInt
    """Total over all devices."""
    device_count: PositiveInt
    precision: Precision
    data: DataSource

    def __str__(self) -> str:
        devices = "1 device" if self.device_count == 1 else f"{self.device_count} devices"
        source = "" if self.data == "real" else f", {self.data} data"
        return f"{self.precision}, {devices}, batch {self.batch_size}{source}"

    def spec(self, base: RunSpec) -> RunSpec:
        return base.replaced(
            batch_size=self.batch_size,
            device_count=self.device_count,
            precision=self.precision,
            config={"data": {"source": self.data}},
        )


Item = TypeVar("Item")
AS_LIST = BeforeValidator(lambda value: value if isinstance(value, list) else [value])
Several = Annotated[list[Item], AS_LIST, Field(min_length=1)]


class Axes(Strict):
    """The values to combine. Either `batch_size` or `per_device_batch_size` is given."""

    batch_size: Several[PositiveInt] | None = None
    """Totals over all devices."""
    per_device_batch_size: Several[PositiveInt] | None = None
    device_count: Several[PositiveInt]
    precision: Several[PRECISION]
    data: Several[DataSource] | None = None
    """Data sources; None: that of the other settings."""

    @property
    def scaling(self) -> Scaling:
        """Strong for total batch sizes, weak for batch sizes per device."""
        return "strong" if self.batch_size else "weak"

    def places(self, data: DataSource) -> list[Place]:
        """All combinations: data (by default this) and precisions in the order given, numbers ascending."""
        return [
            Place(batch_size=size if self.batch_size else size * count, device_count=count, precision=one, data=source)
            for source in dict.fromkeys(self.data or [data])
            for one in dict.fromkeys(self.precision)
            for count in sorted({*self.device_count})
            for size in sorted({*(self.batch_size or self.per_device_batch_size or [])})
        ]


def read_matrix(path: Path, environ: Mapping[str, str], command_line: str) -> tuple[Axes, Resolved]:
    """Read a spec file with lists as axes: the axes, and the settings common to all cells. Raises UsageError."""
    values = read_mapping(path, Axes.model_fields, HINT)
    given = {key: values.pop(key) for key in Axes.model_fields if key in values}
    with invalid_values(str(path), HINT, HINT):
        axes = Axes.model_validate(given)
    if (axes.batch_size is None) == (axes.per_device_batch_size is None):
        raise UsageError(f"{path} must say either batch_size, the total, or per_device_batch_size", HINT)

    def read(place: dict[str, Any]) -> Resolved:
        return resolve_values({**values, **place}, str(path), environ, command_line, HINT)

    return axes, common_to(axes, read)


def common_to(axes: Axes, read: Callable[[dict[str, Any]], Resolved]) -> Resolved:
    """The settings common to all cells, as `read` resolves them for one device, or else for the most devices.

    Some settings need several devices, and some a single one; cells for which they are invalid are skipped by
    `why_not`. Raises UsageError: they are valid for neither.
    """
    problem = None
    for count in (1, max(axes.device_count)):
        try:
            return read({"batch_size": count, "device_count": count, "precision": "FP32"})
        except UsageError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def why_not(place: Place, base: RunSpec, gpus: Gpus | None, images: int | None) -> GbenchError | None:
    """Why a run in this place can't succeed on this host; None: nothing known.

    Args:
        gpus: of this host; None: to run on another one.
        images: in an epoch, if known.
    """
    spec = place.spec(base)
    try:
        check_spec(spec)
        if gpus is not None:
            require_fit(broken_bounds(for_this_machine(spec, gpus), gpus))
    except GbenchError as error:
        return error
    if images is not None and spec.config.schedule.drop_last and images < spec.batch_size:
        return UsageError(
            f"the dataset gives {images} images, fewer than one batch of {spec.batch_size}",
            "take smaller batches, a larger dataset, or --set schedule.drop_last=false",
        )
    return None


def require_some(places: Sequence[Place], reasons: Sequence[GbenchError | None]) -> None:
    """Raise the first reason if every place has one. reasons: one per place."""
    first = reasons[0]
    if first is not None and all(reasons):
        raise type(first)(f"none of the cells can run; {places[0]}: {first.what}", first.hint)


def images_of(spec: RunSpec) -> int | None:
    """Number of images in an epoch of a run; None if its dataset is missing."""
    root, data = Path(spec.datasets_dir, spec.dataset_subdir), spec.config.data
    if not (root / data.phase).is_dir():
        return None
    count = len(phase_images(root, data.phase))
    return min(count, data.max_dataset_size or count)
