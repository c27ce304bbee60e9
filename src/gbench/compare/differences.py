"""The fields that must agree before two records can be compared."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from gbench.cndb.record import Record
from gbench.cndb.throughput import END_TO_END, kind_of
from gbench.compare.metrics import AS_LAUNCH_SH, at, common_throughput
from gbench.errors import UsageError
from gbench.settings.switches import describe

NOT_SAID = "not said"
IMAGE = "image"  # the field a history may vary in; all others identify a configuration
MACHINE = "machine"  # records of an earlier gbench, and of machines without an id, don't say it, and agree with any
THROUGHPUT_OF = "throughput_of"
SETTINGS = "hyper_params"
NO_SETTING = ("seed", "profile", "speed")  # of hyper_params: the seed may vary; profile and speed are the field profile


@dataclass(frozen=True)
class Difference:
    """A field and its value on each side; several values if the side's own runs differ."""

    field: str
    base: str
    new: str


def fields(record: Record) -> dict[str, str]:
    """Everything that determines the work of a run, under the names that `--allow` takes."""
    extra, perf, settings = record.extra or {}, record.perf_data or {}, record.hyper_params or {}
    profile, switches = settings.get("profile"), settings.get("speed") or {}
    if isinstance(profile, str) and isinstance(switches, dict):  # else shown as it is
        profile = describe(profile, switches)
    values = {
        "model": record.model,
        "framework": record.framework,
        "dataset": record.dataset,
        "dataset_sha256": extra.get("dataset_sha256"),
        "device": record.dev,
        "device_count": record.dev_num,
        "nodes": at(extra, "spec", "nodes") or 1,
        "batch_size": record.batch_size,
        "batch_size_meaning": _batch_size_meaning(record),
        "precision": record.train_type,
        "evaluation": None if record.eval_type == "-" else record.eval_type,
        "distribution": record.dist_type,
        "recipe": extra.get("recipe"),
        "profile": profile,
        "throughput_unit": perf.get("throughput_unit"),
        THROUGHPUT_OF: END_TO_END if kind_of(record) == END_TO_END else "what its script printed",
        IMAGE: record.soft_info.name if record.soft_info else None,
        MACHINE: machine_key(record),
        **{f"{SETTINGS}.{key}": v for key, v in settings.items() if key not in NO_SETTING},
    }
    return {field: shown(value) for field, value in values.items()}


def configuration(record: Record, allowed: Collection[str] = ()) -> dict[str, str]:
    """The fields in which runs of one configuration agree: all but the image, the machine and the allowed ones."""
    free = (IMAGE, MACHINE, *allowed)
    return {field: value for field, value in fields(record).items() if not _in(field, free)}


def may_be_same_machine(one: Record, other: Record) -> bool:
    keys = {machine_key(one), machine_key(other)} - {None}
    return len(keys) < 2


def differences(base: Iterable[Record], new: Iterable[Record]) -> list[Difference]:
    """The fields in which any two of the records differ; all of SETTINGS in one if a side says none of them."""
    base, new = list(base), list(new)
    sides = [[fields(record) for record in side] for side in (base, new)]
    names = dict.fromkeys(field for side in sides for one in side for field in one)
    differing = []
    for field in names:
        unknown = {NOT_SAID} if field == MACHINE else set[str]()
        values = [sorted({one.get(field, NOT_SAID) for one in side} - unknown) for side in sides]
        if len({*values[0], *values[1]}) > 1:
            if field == MACHINE:
                values = [[_with_host_name(key, (*base, *new)) for key in side] for side in values]
            differing.append(Difference(field, *(" | ".join(some) for some in values)))
    if common_throughput([*base, *new])[0] is AS_LAUNCH_SH:  # the figure that is compared is one of the same
        differing = [one for one in differing if one.field != THROUGHPUT_OF]
    return _shortened(differing)


def _shortened(differing: list[Difference]) -> list[Difference]:
    settings = [one for one in differing if one.field.startswith(f"{SETTINGS}.")]
    counts = sum(one.base != NOT_SAID for one in settings), sum(one.new != NOT_SAID for one in settings)
    if len(settings) < 2 or all(counts):
        return differing
    both = (f"{count} settings" if count else NOT_SAID for count in counts)
    return [one for one in differing if one not in settings] + [Difference(SETTINGS, *both)]


def require_comparable(base: list[Record], new: list[Record], allowed: Collection[str]) -> list[str]:
    """The allowed differences, in words. Raises UsageError: others differ, or `allowed` names an unknown field."""
    require_fields(allowed, [*base, *new])
    differing = differences(base, new)
    refused = [one for one in differing if not _in(one.field, allowed)]
    if refused:
        text = "; ".join(f"{one.field} is {one.base} in BASE, {one.new} in NEW" for one in refused)
        settings = sum(one.field.startswith(f"{SETTINGS}.") for one in refused)
        names = (SETTINGS if settings > 1 and _in(one.field, (SETTINGS,)) else one.field for one in refused)
        options = " ".join(f"--allow {name}" for name in dict.fromkeys(names))
        raise UsageError(f"BASE and NEW are not comparable: {text}", f"if this is intended, give {options}")
    return [f"{one.field}: {one.base} -> {one.new}" for one in differing]


def require_fields(allowed: Collection[str], records: Iterable[Record]) -> None:
    """Raises UsageError: `allowed` names a field that none of the records has."""
    known = {field for record in records for field in fields(record)} | {SETTINGS}
    for name in allowed:
        if name not in known:
            raise UsageError(f"--allow {name!r} is not a field of these records", f"known: {', '.join(sorted(known))}")


def require_alike(records: list[Record]) -> None:
    """Check that runs can form one baseline, of any images. Raises UsageError: they differ; names the fields."""
    if differing := [one for one in differences(records, []) if one.field != IMAGE]:
        text = "; ".join(f"{one.field} is {one.base}" for one in differing)
        raise UsageError(f"the runs are not comparable: {text}", "pin runs that agree in all of these")


def _in(field: str, names: Collection[str]) -> bool:
    return field in names or field.partition(".")[0] in names


def _batch_size_meaning(record: Record) -> str | None:
    """`total` if the batch size is over all devices: on one device, or if the record says so."""
    each = (record.extra or {}).get("batch_size_per_device")
    if record.dev_num == 1 or (isinstance(each, int) and each * record.dev_num == record.batch_size):
        return "total"
    return None if each is None else f"{each} per device, {record.batch_size} in all"


def machine_key(record: Record) -> str | None:
    """The key of gbench.machine.machine_key."""
    key = at((record.extra or {}).get(MACHINE), "key")
    return key if isinstance(key, str) else None


def _with_host_name(key: str, records: Iterable[Record]) -> str:
    names = {shown(at((one.extra or {}).get(MACHINE), "host_name")) for one in records if machine_key(one) == key}
    return f"{'/'.join(sorted(names))} ({key[:8]})"


def shown(value: Any) -> str:
    """A value of a record as one line of printable text, for a terminal and for XML."""
    return NOT_SAID if value is None else "".join(one if one.isprintable() else "?" for one in str(value))
