"""In which facts the nodes of a run differ: where figures would be of no one kind of machine, they must not."""

from collections.abc import Collection, Sequence
from contextlib import suppress

import psutil

from gbench import __version__
from gbench.errors import UsageError
from gbench.machine.gpus import Gpus, open_nvml
from gbench.runfolder.host_facts import HostFacts, NodeInRun, Processor
from gbench.runs.meeting import Meeting

# fields that decide the speed or the result of a node, under the names that --allow takes
MUST_AGREE = ("device", "image", "torch", "gbench", "dataset_sha256", "run_script_sha256")
REPORTED = ("driver", "clocks", "os", "memory", "processor")


def compare_nodes(
    meeting: Meeting, facts: HostFacts, gpus: Gpus, torch: str | None, allowed: Collection[str]
) -> tuple[HostFacts, list[str]]:
    """Wait until every node is ready, and compare them; every node must call it.

    Args:
        facts: of this node. gpus: those that it uses. torch: its version; None: that of an image.

    Returns the facts with what this node is among the others, and what differs, in words. Raises as `require_alike`.
    """
    node = NodeInRun(
        number=meeting.number,
        address=meeting.here.address,
        interface=meeting.here.interface,
        torch=torch,
        gbench=__version__,
        clocks=clocks(gpus),
    )
    facts = facts.changed(node=node)
    everyone = [HostFacts(**values) for values in meeting.exchange("facts", facts.values())]
    return facts, require_alike(everyone, allowed)


def node_fields(facts: HostFacts) -> dict[str, str]:
    """What is compared of a node."""
    node, hardware = facts.node or NodeInRun(number=0, address=""), facts.hardware
    processor = (hardware.cpu or Processor()).name
    values = {
        "device": ", ".join(hardware.gpus) or processor,
        "image": facts.where.image_id,
        "torch": node.torch,
        "gbench": node.gbench,
        "dataset_sha256": facts.dataset.sha256,
        "run_script_sha256": facts.run_script_sha256,
        "driver": hardware.driver,
        "clocks": "; ".join(node.clocks),
        "os": hardware.os,
        "memory": hardware.mem,
        "processor": processor,
    }
    return {name: str(value) if value else "unknown" for name, value in values.items()}


def require_fields_of_nodes(allowed: Collection[str]) -> None:
    """Raises UsageError: --allow names something else."""
    if unknown := [name for name in allowed if name not in MUST_AGREE]:
        raise UsageError(f"--allow {unknown[0]!r} is not a field of nodes", f"known: {', '.join(MUST_AGREE)}")


def require_alike(nodes: Sequence[HostFacts], allowed: Collection[str]) -> list[str]:
    """What differs between nodes, in words. Raises UsageError: in fields that must agree and are not allowed."""
    require_fields_of_nodes(allowed)
    everyone = [node_fields(facts) for facts in nodes]
    texts = {}
    for name in (*MUST_AGREE, *REPORTED):
        values = [one[name] for one in everyone]
        if len(set(values)) > 1:
            texts[name] = f"nodes differ in {name}: " + ", ".join(
                f"{value} ({node})" for node, value in enumerate(values)
            )
    if refused := [name for name in texts if name in MUST_AGREE and name not in allowed]:
        options = " ".join(f"--allow {name}" for name in refused)
        raise UsageError(
            "; ".join(texts[name] for name in refused), f"if this is intended, give {options} on every node"
        )
    return list(texts.values())


def clocks(gpus: Gpus) -> list[str]:
    """Highest clocks and power limit of each GPU; of the processor if there is none. Never raises."""
    if gpus.devices:
        return [_of_gpu(gpu.index) for gpu in gpus.devices]
    with suppress(Exception):  # psutil reads what the kernel may not report
        if (frequency := psutil.cpu_freq()) is not None and frequency.max:
            return [f"processor {frequency.max:.0f} MHz"]
    return []


def _of_gpu(index: int) -> str:
    parts = []
    with suppress(Exception), open_nvml() as nvml:  # a driver need not report them
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        for name, kind in (("SM", nvml.NVML_CLOCK_SM), ("memory", nvml.NVML_CLOCK_MEM)):
            parts.append(f"{name} {nvml.nvmlDeviceGetMaxClockInfo(handle, kind)} MHz")
        parts.append(f"{nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000:.0f} W")
    return ", ".join(parts) or "not reported"
