"""node-0.json: what a node of a cluster's job knows and the host that submitted it can't see. Its task writes it."""

from contextlib import suppress

from pydantic import Field

from gbench.errors import GbenchError
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import AttemptTimes, CheckFacts, DatasetFacts, HostFacts, HostHardware, NodeInRun
from gbench.runfolder.typed_json import UNUSABLE, Facts

NAME = "node-0.json"


class NodeAttempt(AttemptTimes):
    """A start of the job on this node."""

    saved: bool = False
    """Whether it saved a checkpoint."""


class NodeFacts(Facts):
    hardware: HostHardware = HostHardware()
    dataset: DatasetFacts | None = None
    """None: the host that submitted the job sees it too."""
    checks: list[CheckFacts] = Field(default_factory=list)
    """Of the last start."""
    attempts: list[NodeAttempt] = Field(default_factory=list)
    node: NodeInRun | None = None
    """None: the job is on one node."""
    warnings: list[str] = Field(default_factory=list)
    """In what the nodes differ."""


def read_node(folder: RunFolder) -> NodeFacts:
    """The facts; empty without the file. Raises InfrastructureError: it is broken."""
    return folder.read_as(NAME, NodeFacts, UNUSABLE) or NodeFacts()


def write_node(folder: RunFolder, facts: NodeFacts) -> None:
    folder.write(NAME, facts.values())


def with_node_facts(facts: HostFacts, folder: RunFolder) -> HostFacts:
    """The facts of host.json with those of the node: its hardware, its checks, and the starts of the job."""
    with suppress(GbenchError):  # broken: the run's own end must be written all the same
        node = read_node(folder)
        times = [AttemptTimes(**one.model_dump(exclude={"saved"})) for one in node.attempts]
        later = [one.started_utc for one in times[1:]]
        return facts.changed(
            hardware=node.hardware,
            checks=node.checks,
            warnings=list(dict.fromkeys([*facts.warnings, *node.warnings])),
            **({"node": node.node} if node.node else {}),
            **({"dataset": node.dataset} if node.dataset else {}),
            **({"attempts": times} if facts.attempts and times else {}),
            **({"resumed": later} if later else {}),
        )
    return facts
