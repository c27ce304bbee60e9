"""Make a new reference from trusted runs or logs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gbench.base.files import write_atomically
from gbench.convergence.curves import LOSSES, whole
from gbench.convergence.judge import Subject
from gbench.convergence.reference import LossWindows, Reference, ReferenceRun
from gbench.errors import UsageError

WINDOWS = 20
DIGITS = 5


def windows_of(epochs: int) -> list[tuple[int, int]]:
    """Divide the epochs into at most WINDOWS windows of nearly equal length: first and last epoch of each."""
    parts = np.array_split(np.arange(1, epochs + 1), min(WINDOWS, epochs))
    return [(int(part[0]), int(part[-1])) for part in parts]


def make_reference(
    model: str, description: str, recipe: dict[str, Any], trusted: Sequence[Subject], quality_images: int | None = None
) -> Reference:
    """Make a reference from trusted runs of one recipe.

    Raises UsageError: a run did not finish, has an epoch without losses, or a loss that is not finite; or two have one
    seed.
    """
    _require_other_seeds(trusted)
    epochs = recipe["schedule.epochs"] + recipe["schedule.epochs_decay"]
    windows = windows_of(epochs)
    runs = [
        ReferenceRun(
            source=one.source,
            lines=len(one.curves.epochs),
            losses={name: _loss(one, name, windows, epochs) for name in LOSSES},
            quality=dict(one.quality) if one.quality else None,
        )
        for one in trusted
    ]
    return Reference(
        model=model,
        description=description,
        recipe=recipe,
        windows=windows,
        quality_images=quality_images,
        runs=runs,
    )


def _require_other_seeds(trusted: Sequence[Subject]) -> None:
    """Runs of one seed agree better than two runs do: they would make the bands too narrow."""
    seen: dict[object, Subject] = {}
    for one in trusted:
        losses = b"".join(one.curves.losses[name].tobytes() for name in LOSSES if name in one.curves.losses)
        for key in (one.seed, losses or None):
            if key is not None and (other := seen.setdefault(key, one)) is not one:
                same = f"seed {one.seed}" if key == one.seed else "losses"
                raise UsageError(
                    f"{one.source} has the same {same} as {other.source}",
                    "a reference shows how seeds differ: give each seed once",
                )


def _loss(one: Subject, name: str, windows: list[tuple[int, int]], epochs: int) -> LossWindows:
    places = [*windows, (epochs, epochs)]
    windows_or_none = one.curves.windows(name, places)
    if None in windows_or_none:
        first, last = places[windows_or_none.index(None)]
        raise UsageError(
            f"{one.source} has no {name} for each of the epochs {first} to {last}, its recipe has {epochs}",
            "a reference is made from whole runs",
        )
    *parts, last_epoch = whole(windows_or_none)
    if not np.isfinite([window.mean for window in (*parts, last_epoch)]).all():
        raise UsageError(f"{one.source}: {name} became NaN or infinite", "a reference is made from runs that trained")
    return LossWindows(
        mean=[_short(window.mean) for window in parts],
        sd=[_short(window.sd) for window in parts],
        standard_error=[_short(window.standard_error) for window in parts],
        count=[window.count for window in parts],
        last_epoch=_short(last_epoch.mean),
        last_epoch_standard_error=_short(last_epoch.standard_error),
    )


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def write_reference(reference: Reference, path: Path) -> None:
    """Write a reference as YAML. Raises UsageError: the file exists; InfrastructureError: it can't be written."""
    if path.exists():
        raise UsageError(f"{path} exists already", "give another file, or remove it")
    values = reference.model_dump(mode="json")
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    write_atomically(path, text)
