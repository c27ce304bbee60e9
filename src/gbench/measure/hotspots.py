"""Where the time of a profiled step goes: its operators, its parts, communication, and what is none of them.

On a processor the operators of the training thread are counted, by self time: their own, less that of the operators
that they call. On a GPU an operator's self time is that of the kernels and copies that it launched itself. Either way
the operators' self times add up to their part of the step, and the parts to the step.

A region is a `record_function` named REGION + its name; its backward pass is found by autograd's sequence numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gbench.measure.trace import ON_DEVICE, Event, Span, clipped, length, union

REGION = "gbench: "
COMPUTING = REGION + "computing"  # from a batch at hand until the step's work is handed over
OPTIMIZER = "Optimizer.step#"  # as torch.optim names its own regions
BACKWARD = "autograd::engine::evaluate_function"
STEP = "ProfilerStep#"  # as torch.profiler names its steps
MOVES = ("aten::copy_", "aten::empty", "aten::fill_", "aten::zero_")  # in a convolution's call, but no arithmetic
COMMUNICATION = ("c10d::", "gloo:", "nccl")


@dataclass
class Total:
    """Over the whole trace. seconds: of self time; flop: floating-point operations, None where they are not known."""

    seconds: float = 0.0
    calls: int = 0
    flop: int | None = None


@dataclass
class Part:
    """Self time of operators in one part of the step, and, on a processor, the time there outside any."""

    operators_s: float = 0.0
    gaps_s: float = 0.0


@dataclass
class Reading:
    """Seconds of the whole trace.

    operators: by name. parts: of the step's computing, by name. operators_s: time in which one ran or more;
    overlapped_s: of their self times, what ran at the same time as others; exposed_s: communication that no operator
    hides; communication_s: all of it; gaps_s: what is left of computing: the device idles (GPU), or the training thread
    is outside any operator (processor).
    """

    operators: dict[str, Total] = field(default_factory=lambda: defaultdict(Total))
    parts: dict[str, Part] = field(default_factory=lambda: defaultdict(Part))
    operators_s: float = 0.0
    overlapped_s: float = 0.0
    exposed_s: float = 0.0
    communication_s: float = 0.0
    gaps_s: float = 0.0


def read_trace(events: Sequence[Event], on_gpu: bool, waited_s: float, flop: Mapping[str, Sequence[int]]) -> Reading:
    """What took the time of a trace.

    Args:
        waited_s: seconds of data wait and between steps, which are no gaps of computing (a GPU is idle in them, too).
        flop: of each call of an operator in one step, in order, by its name.
    """
    computing = [event for event in events if event.name == COMPUTING and event.kind == "user_annotation"]
    if not computing:
        return Reading()
    regions = _regions_by_sequence(events)
    if on_gpu:
        began_s = min(event.start_s for event in events if event.name.startswith((STEP, COMPUTING)))
        reading, charges = _device_time(events, waited_s, began_s)
    else:
        reading, charges = _thread_time(events, computing)
    called: set[tuple[str, Event]] = set()  # on a GPU a call may have several kernels
    for name, event, seconds, is_gap in charges:
        part = reading.parts[_part(name, event, regions)]
        if is_gap:
            part.gaps_s += seconds
            continue
        part.operators_s += seconds
        reading.operators[name].seconds += seconds
        if event is None or (name, event) not in called:
            reading.operators[name].calls += 1
        if event is not None:
            called.add((name, event))
    _charge_flop(events, charges, reading.operators, flop, len(computing))
    return reading


# name, the operator or region that it belongs to, seconds, whether it is time outside any operator
_Charge = tuple[str, Event | None, float, bool]


def _thread_time(events: Sequence[Event], computing: Sequence[Event]) -> tuple[Reading, list[_Charge]]:
    """Time of the thread that trains."""
    thread, charges = computing[0].thread, list[_Charge]()
    outermost: list[Span] = []
    for event in events:
        if event.thread != thread or not any(one.name == COMPUTING for one in event.around()):
            continue
        operators = [one for one in event.around() if one.kind == "cpu_op"]
        if not operators:
            charges.append((event.name, event, event.self_s, True))
            continue
        charges.append((operators[0].name, operators[0], event.self_s, False))  # also of a region within an operator
        if operators == [event]:
            outermost.append(event.span)
    whole, busy = union(event.span for event in computing), union(outermost)
    talking = clipped(union(event.span for event in events if _is_transfer(event)), whole)
    exposed_s = length(talking) - length(clipped(talking, busy))
    operators_s, whole_s = length(busy), length(whole)
    reading = Reading(operators_s=operators_s, exposed_s=exposed_s, communication_s=length(talking))
    reading.gaps_s = whole_s - operators_s - exposed_s
    return reading, charges


def _device_time(events: Sequence[Event], waited_s: float, start_s: float) -> tuple[Reading, list[_Charge]]:
    """Time of the GPU, from the first step's beginning to the last kernel's end."""
    launched_by = {event.id: event for event in events if event.kind == "cpu_op"}
    work = [event for event in events if event.kind in ON_DEVICE]
    charges = list[_Charge]()
    for event in work:
        by = launched_by.get(event.id)
        # NCCL runs on streams of its own: it is no part of the operator beside which it was launched
        name = event.name if by is None or event.name.startswith(COMMUNICATION) else by.name
        charges.append((name, by, event.end_s - event.start_s, False))
    talking = union(event.span for event in work if event.name.startswith(COMMUNICATION))
    busy = union(event.span for event in work if not event.name.startswith(COMMUNICATION))
    exposed_s = length(talking) - length(clipped(talking, busy))
    whole_s = max((event.end_s for event in work), default=start_s) - start_s
    operators_s, sum_s = length(busy), sum(seconds for _, _, seconds, _ in charges)
    reading = Reading(operators_s=operators_s, exposed_s=exposed_s, communication_s=length(talking))
    reading.overlapped_s = sum_s - operators_s - exposed_s
    reading.gaps_s = max(0.0, whole_s - operators_s - exposed_s - waited_s)
    return reading, charges


def _is_transfer(event: Event) -> bool:
    """Whether it is the communication itself, which a thread of its own does, and not the call that asks for it."""
    return event.name.startswith("gloo:")


def _regions_by_sequence(events: Iterable[Event]) -> dict[int, str | None]:
    """The region of each forward operation by autograd's number: of those with one number, the last one recorded it."""
    found: dict[int, tuple[float, str | None]] = {}
    for event in events:
        if event.sequence is None or event.kind != "cpu_op":
            continue
        around = list(event.around())
        if any(one.name.startswith(BACKWARD) for one in around):
            continue
        if event.sequence not in found or found[event.sequence][0] <= event.start_s:
            found[event.sequence] = event.start_s, _region(around)
    return {number: region for number, (_, region) in found.items()}


def _region(around: Iterable[Event]) -> str | None:
    names = (event.name for event in around if event.kind == "user_annotation")
    return next((name.removeprefix(REGION) for name in names if name.startswith(REGION) and name != COMPUTING), None)


def _part(name: str, event: Event | None, regions: Mapping[int, str | None]) -> str:
    """The part of a step that a piece of time belongs to."""
    if name.startswith(COMMUNICATION):
        return "communication"
    if event is None:
        return "other"
    around = list(event.around())
    if any(one.name.startswith(OPTIMIZER) for one in around):
        return "optimizer"
    node = next((one for one in around if one.name.startswith(BACKWARD)), None)
    region = regions.get(node.sequence) if node and node.sequence is not None else None if node else _region(around)
    direction = "backward" if node else "forward"
    return f"{region} {direction}" if region else ("other backward" if node else "other")


def _charge_flop(
    events: Sequence[Event],
    charges: Iterable[_Charge],
    operators: Mapping[str, Total],
    flop: Mapping[str, Sequence[int]],
    steps: int,
) -> None:
    """Give each counted call's operations to the operator below it that took most of its time, e.g. to the
    implementation of a convolution; none at all where a trace does not hold the calls that were counted."""
    spent: dict[Event, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, event, seconds, is_gap in charges:
        counted = next((one for one in event.around() if one.name in flop), None) if event and not is_gap else None
        if counted is not None:
            spent[counted][name] += seconds
    totals: dict[str, int] = defaultdict(int)
    for counted_name, counts in flop.items():
        calls = sorted((event for event in events if event.name == counted_name), key=lambda event: event.start_s)
        if len(calls) != len(counts) * steps:
            return
        for number, call in enumerate(calls):
            takers = {name: seconds for name, seconds in spent[call].items() if name not in MOVES}
            if spent[call]:
                totals[max(takers, key=lambda name: takers[name], default=counted_name)] += counts[number % len(counts)]
    for name, total in operators.items():
        total.flop = totals.get(name, 0)
