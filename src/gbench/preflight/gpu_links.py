"""How each GPU of the run is connected: PCIe, NVLink, its NUMA node, and ACS on the PCIe bridges."""

import re

from gbench.base.cpu_list import cpu_set
from gbench.preflight.cards import Card
from gbench.preflight.gpu_state import is_idle
from gbench.preflight.rule import Context, Finding
from gbench.preflight.tools import Unreadable, output_of


def pcie_link(card: Card, context: Context) -> Finding:
    """The width must be the highest; the speed only on a busy card, since an idle link slows down to save power."""
    speed = card.read("nvmlDeviceGetCurrPcieLinkGeneration")
    width = card.read("nvmlDeviceGetCurrPcieLinkWidth")
    slot_speed = card.read("nvmlDeviceGetMaxPcieLinkGeneration")
    most_width = card.read("nvmlDeviceGetMaxPcieLinkWidth")
    card_speed = card.maybe("nvmlDeviceGetGpuMaxPcieLinkGeneration") or slot_speed
    found = f"generation {speed} x{width} of {card_speed} x{most_width}"
    if width < most_width:
        return Finding("warning", f"{found}: lanes are missing")
    if slot_speed < card_speed:
        return Finding("warning", f"{found}: the slot can do generation {slot_speed} only")
    if speed < slot_speed:
        return Finding("ok", f"{found}, idle") if is_idle(card) else Finding("warning", f"{found}: slow although busy")
    return Finding("ok", found)


def nvlink(card: Card, context: Context) -> Finding:
    active = []
    for link in range(card.nvml.NVML_NVLINK_MAX_LINKS):
        try:
            active.append(bool(card.read("nvmlDeviceGetNvLinkState", link)))
        except Unreadable:  # past the card's last link
            if not active:
                raise
            break
    found = f"{sum(active)} of {len(active)} links up"
    if all(active):
        return Finding("ok", found)
    several = sum(other.used for other in context.cards) > 1
    if several and any(active):
        return Finding("warning", found)
    return Finding("info", f"{found}{'' if several else '; not needed by one GPU'}")


def numa(card: Card, context: Context) -> Finding:
    """Whether this process may use the CPUs next to the GPU. Those of a container are not known yet."""
    bus_id = card.read("nvmlDeviceGetPciInfo").busId
    device = f"sys/bus/pci/devices/{_sysfs_name(bus_id.decode() if isinstance(bus_id, bytes) else bus_id)}"
    node = int(context.read(f"{device}/numa_node"))
    if len(list((context.root / "sys/devices/system/node").glob("node[0-9]*"))) < 2:
        return Finding("ok", "one NUMA node")
    if node < 0:
        raise Unreadable("its NUMA node is not reported")
    near_text = context.read(f"{device}/local_cpulist")
    found = f"at node {node}, CPUs {near_text}"
    if context.run.runner == "docker":
        return Finding("info", found)
    may_text = context.allowed_cpus()
    near, may = cpu_set(near_text), cpu_set(may_text)
    if not near & may:
        fix = f"numactl --cpunodebind={node} --membind={node} gbench launch ..."
        return Finding("warning", f"{found}; this process may use only {may_text}", fix)
    return Finding("ok", f"{found}; bound to them") if may <= near else Finding("info", f"{found}; not bound to them")


def _sysfs_name(bus_id: str) -> str:
    """NVML's `00000000:3B:00.0` in the form of sysfs: `0000:3b:00.0`."""
    domain, rest = bus_id.split(":", 1)
    return f"{int(domain, 16):04x}:{rest.lower()}"


def acs(context: Context) -> Finding | None:
    """PCIe Access Control Services route traffic between GPUs through the processor."""
    if not context.cards:
        return None
    text = output_of("lspci", "-vvv")
    on = [device.split()[0] for device in text.split("\n\n") if re.search(r"ACSCtl:\s*SrcValid\+", device)]
    if not on:
        if "<access denied>" in text:
            raise Unreadable("lspci shows it to root only")
        return Finding("ok", "off, or not there")
    found = f"on at {len(on)} bridges: {', '.join(on[:4])}{', ...' if len(on) > 4 else ''}"
    several = sum(card.used for card in context.cards) > 1
    return Finding("error" if several else "info", found if several else f"{found}; harmless with one GPU")
