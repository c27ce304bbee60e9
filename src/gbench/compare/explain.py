"""What differs between two sets of runs, in words, the most likely cause first.

If the records contain a measurement of the influence itself (data wait, clocks, throttled steps), it is reported as the
share of throughput that it explains. The other differences are ordered by what they can affect: the work, then the
software that does it, then the host.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gbench.cndb.record import Record
from gbench.compare.causes import FACTS, GPUS, QUANTITIES, SM_CLOCK, Influence
from gbench.compare.change import change
from gbench.compare.differences import IMAGE, MACHINE, NOT_SAID, shown
from gbench.compare.differences import differences as differing_fields
from gbench.compare.metrics import THROUGHPUT, RunFigure, at
from gbench.compare.verdict import judge

TELLING = 0.01  # share of throughput from which a measured influence precedes unmeasured ones
VISIBLE = 0.001  # share below which a measured influence is not reported


@dataclass(frozen=True)
class Cause:
    field: str
    base: str
    new: str
    influence: Influence
    throughput_share: float | None
    """Share of throughput that it explains, measured or bounded; negative: NEW is slower. None if unknown."""
    text: str


def explain(base: Sequence[Record], new: Sequence[Record]) -> list[Cause]:
    """Every known difference, the most likely cause first; means over the runs of a side."""
    kinds = (_work, _throttled, _quantities, _foreign, _facts, _checks, _steadiness)
    causes = [cause for causes_of in kinds for cause in causes_of(base, new)]
    return sorted(causes, key=lambda cause: (cause.influence, -abs(cause.throughput_share or 0.0)))


def in_cycles(base: Sequence[Record], new: Sequence[Record], threshold: float) -> str | None:
    """What a loss of throughput is in images a cycle of the GPU; None if that is not known, or not decided."""
    sides = [[_a_cycle(record) for record in side] for side in (base, new)]
    one, other = ([figure for figure in side if figure is not None] for side in sides)
    if (len(one), len(other)) != (len(base), len(new)):
        return None
    found = judge([(THROUGHPUT, change(one, other, True, [], THROUGHPUT.unknown_sd))], threshold)[0]
    interval = f"{found.ratio - 1:+.1%}, 95 % interval {found.low - 1:+.1%} to {found.high - 1:+.1%}"
    if found.verdict == "regression":
        return f"slower in cycles of the GPU too, so not by its clocks alone: throughput a cycle {interval}"
    if found.verdict == "no regression" and not found.surely_worse:
        return f"slower in seconds, same in cycles of the GPU: clocks; throughput a cycle {interval}"
    return None


def _a_cycle(record: Record) -> RunFigure | None:
    figure, mhz = THROUGHPUT.read(record), _mean([record], SM_CLOCK)
    return RunFigure(figure.value / mhz, figure.error_share) if figure and mhz else None


def _work(base: Sequence[Record], new: Sequence[Record]) -> Iterator[Cause]:
    """The fields that make two records incomparable: work, the image, which counts as software, and the machine."""
    for one in differing_fields(base, new):
        influence, why = Influence.WORK, "other work was done, or by another device"
        if one.field == IMAGE:
            influence, why = Influence.SOFTWARE, "all software but the driver is in it"
        if one.field == MACHINE:
            influence, why = Influence.HOST, "machines of one type differ in clocks, cooling and memory"
        yield _cause(one.field, (one.base, one.new), influence, why)


def _quantities(base: Sequence[Record], new: Sequence[Record]) -> Iterator[Cause]:
    for quantity in QUANTITIES:
        before, after = _mean(base, quantity.path), _mean(new, quantity.path)
        if before is None or after is None:
            continue
        both, share = _formatted(before, after, quantity.show), quantity.share and quantity.share(before, after)
        if share is not None and abs(share) >= VISIBLE:
            yield _cause(quantity.title, both, _rank(share), quantity.why, share)
        if share is None and abs(after - before) >= quantity.least:
            yield _cause(quantity.title, both, Influence.HOST, quantity.why)


def _throttled(base: Sequence[Record], new: Sequence[Record]) -> Iterator[Cause]:
    """The cost of throttled steps: throughput divided by that of the undisturbed steps."""
    cost = [_mean_of([_throttle_cost(record) for record in side]) for side in (base, new)]
    marked = [_mean(side, ("perf_data", "disturbance", "marked_share")) for side in (base, new)]
    if marked[0] is None or marked[1] is None or marked[0] == marked[1]:
        return
    both = _formatted(marked[0], marked[1], ".1%")
    reasons = sorted(
        {str(name) for record in new for name in _items(_at(record, "perf_data", "disturbance", "share_by_reason"))}
    )
    why = f"the GPU was held back: {', '.join(reasons)}" if reasons else "the GPU was held back less"
    share = cost[1] / cost[0] - 1 if cost[0] and cost[1] else None
    yield _cause("throttled steps", both, Influence.HOST if share is None else _rank(share), why, share)


def _throttle_cost(record: Record) -> float | None:
    rate, clean = (_number(_at(record, "perf_data", key)) for key in ("throughput", "throughput_clean_img_s"))
    return rate / clean if rate and clean else None


def _foreign(base: Sequence[Record], new: Sequence[Record]) -> Iterator[Cause]:
    both = _processes(base), _processes(new)
    if both[0] != both[1]:
        yield _cause("other processes on the GPUs", both, Influence.HOST, "they use its time and memory")


def _processes(records: Sequence[Record]) -> str:
    """Names of other processes on the GPUs, without process ids."""
    names = (name for record in records for gpu in _gpus(record) for name in _items(gpu.get("foreign")))
    return ", ".join(sorted({str(name).partition(" ")[2] for name in names})) or "none"


def _facts(base: Sequence[Record], new: Sequence[Record]) -> Iterator[Cause]:
    for title, path, influence, why in FACTS:
        one, other = _texts(base, path), _texts(new, path)
        if one != other:
            yield _cause(title, (one, other), influence, why)


def _checks(base: Sequence[Record], new: Sequence[Record]) -> Iterator[Cause]:
    """Warnings of the check before the launch: governor, clocks, busy processes and the like."""
    checks = [_at(record, "extra", "checks") for record in (*base, *new)]
    for name in sorted({name for warned in checks if isinstance(warned, dict) for name in warned}):
        one, other = (_texts(side, ("extra", "checks", name)) for side in (base, new))
        if one != other:
            both = ("no warning" if one == NOT_SAID else one, "no warning" if other == NOT_SAID else other)
            yield _cause(f"check {name}", both, Influence.HOST, "gbench check says how to fix it")


def _steadiness(base: Sequence[Record], new: Sequence[Record]) -> Iterator[Cause]:
    one, other = (sum(_at(record, "perf_data", "steady_state") is False for record in side) for side in (base, new))
    if one / len(base) != other / len(new):
        both = (f"{one} of {len(base)}", f"{other} of {len(new)}")
        yield _cause("runs that were not steady", both, Influence.HOST, "their throughput was still changing")


def _cause(field: str, sides: tuple[str, str], influence: Influence, why: str, share: float | None = None) -> Cause:
    base, new = map(shown, sides)
    text = f"{field}: {base} -> {new}"
    if share is not None:
        text += f", {share:+.1%} of throughput"
    return Cause(field, base, new, influence, share, shown(f"{text} ({why})" if why else text))


def _rank(share: float) -> Influence:
    return Influence.MEASURED if abs(share) >= TELLING else Influence.MINOR


def _formatted(one: float, other: float, show: str) -> tuple[str, str]:
    form, _, unit = show.partition(" ")
    return (f"{one:{form}} {unit}".strip(), f"{other:{form}} {unit}".strip())


def _mean(records: Sequence[Record], path: tuple[str, ...]) -> float | None:
    """Mean over the records that have the value; for GPUs, of each record's mean over its GPUs."""
    if path[: len(GPUS)] == GPUS:
        inner = path[len(GPUS) :]
        return _mean_of([_mean_of([_number(at(gpu, *inner)) for gpu in _gpus(record)]) for record in records])
    return _mean_of([_number(_at(record, *path)) for record in records])


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _texts(records: Sequence[Record], path: tuple[str, ...]) -> str:
    """The distinct values of the records."""
    return " | ".join(sorted({_text(_at(record, *path)) for record in records}))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOT_SAID if value is None else str(value)


def _items(value: Any) -> list[Any]:
    """The items of a list or the keys of a mapping; empty for anything else."""
    return list(value) if isinstance(value, list | dict) else []


def _gpus(record: Record) -> list[dict[str, Any]]:
    gpus = _at(record, *GPUS)
    return [gpu for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []


def _at(record: Record, *path: str) -> Any:
    first = getattr(record, path[0])
    return at(first.model_dump() if hasattr(first, "model_dump") else first, *path[1:])


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
