"""fleet.json: what the probe of a fleet took, on each node and between each pair of them. Rank 0 writes it."""

from gbench.runfolder.typed_json import Facts

FLEET = "fleet.json"
NETWORK = "network"  # the probe between nodes


class LinkTimes(Facts):
    """All-reduces between two nodes."""

    first: int
    second: int
    seconds: list[float]


class FleetTimes(Facts):
    """The content of the file. Nodes are numbered from 0."""

    hosts: list[str]
    """The name of each node: Slurm's own, or that of its host."""
    work: dict[str, float]
    """What each probe does once: TFLOP of `gemm`, GB of `copy`, images of `loader`."""
    seconds: dict[str, list[list[float]]]
    """Probe -> node -> seconds of each round, on its slowest device."""
    link_gb: float
    """10^9 bytes of an all-reduce."""
    links: list[LinkTimes]
    """Of every pair of nodes, once."""
