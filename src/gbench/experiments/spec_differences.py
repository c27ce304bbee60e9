"""The differences between two specs, before either has run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gbench.compare.differences import shown
from gbench.settings.spec import RunSpec

# Specific to one run, or to where its files go
NO_DIFFERENCE = ("run_id", "command_line", "results_dir", "logs_dir", "cndb_dir", "cache_dir", "config.description")
# What a step computes: if one of these differs, throughputs are of different work
WORK = (
    *("model", "record_name", "framework", "recipe", "batch_size", "device_count", "precision", "device", "dataset"),
    *("code_link", "run_model_file", "evaluation", "config.network", "config.optim", "config.data"),
)
SAME_WORK = ("config.data.workers", "config.data.source", "config.data.max_dataset_size")  # exceptions in config.data


@dataclass(frozen=True)
class SpecDifference:
    field: str
    one: str
    other: str
    work: bool
    """Whether the two specs then do different work."""

    def __str__(self) -> str:
        return f"{self.field}: {self.one} -> {self.other}" + (" (other work)" if self.work else "")


def spec_differences(one: RunSpec, other: RunSpec) -> list[SpecDifference]:
    """The fields in which two specs differ; those that change the work first."""
    sides = [dict(_flat(spec.model_dump(mode="json"))) for spec in (one, other)]
    differences = []
    for field in {**sides[0], **sides[1]}:
        a, b = (side.get(field) for side in sides)
        if a != b and field not in NO_DIFFERENCE:
            work = field not in SAME_WORK and any(f"{field}.".startswith(f"{name}.") for name in WORK)
            differences.append(SpecDifference(field, _text(a), _text(b), work))
    return sorted(differences, key=lambda difference: not difference.work)


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        elif value != {}:
            yield f"{before}{key}", value


def _text(value: Any) -> str:
    return "-" if value is None else shown(value)
