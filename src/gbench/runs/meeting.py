"""The nodes of a run meet, and stay in touch, through a TCPStore in the gbench of node 0, where the ranks meet too.

Every node notes each BEAT_S that it is there, and looks at the others. A node that has not been heard of for LOST_S, or
has ended, ends the run on all of them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gbench.base.threads import raising_in_main
from gbench.cndb.from_run import OF_ONE_RUN
from gbench.errors import GbenchError, Hung, InfrastructureError, Interrupted, RunFailed, UsageError
from gbench.runfolder.error_file import IS_BEHIND, IS_STOPPED, WorkerError, worker_error
from gbench.runs.rendezvous import Here, arrive, open_store

if TYPE_CHECKING:
    from gbench.settings.spec import RunSpec

BEAT_S, LOST_S = 2.0, 30.0
POLL_S = 0.1
CAUSE_S = 10.0  # from a rank that lost its connection to the word of the node that ended it
LEAVE_S = 10.0
CUT = ("closed by peer", "reset by peer", "Broken pipe", "onnection refused", "timed out", "imed out waiting")
# Fields of the spec that may differ between the nodes: where their files are, and what is of one host.
OF_ONE_NODE = OF_ONE_RUN | {
    *("datasets_dir", "dataset_subdir", "config_dir", "run_model_file", "dockerfile", "cache_limit_gib"),
    *("env", "cuda_visible_devices", "timeout_s", "ignore_check"),
}


@dataclass(frozen=True)
class Ended:
    """Why a node has ended."""

    node: int
    error: WorkerError

    def to_raise(self, name: str) -> GbenchError:
        """The error of another node."""
        return self.error.model_copy(update={"what": f"{name} ended: {self.error.what}"}).to_raise()


class Meeting:
    """This node among those of a run, from its arrival to its end.

    Attributes:
        nodes: every node, in order of its number. number: of this one.
    """

    def __init__(self, spec: RunSpec, say: Callable[[str], None]) -> None:
        """Wait for all nodes. Raises GbenchError: one did not come in time, or they contradict each other."""
        arrived = arrive(spec, say)
        self.endpoint, self.number, self.nodes = arrived.endpoint, arrived.number, arrived.nodes
        self._store, self._beats = arrived.store, open_store(arrived.endpoint, LOST_S)
        now = time.monotonic()
        self._heard = dict.fromkeys(range(len(self.nodes)), now)
        self._counts: dict[int, bytes] = {}
        self._broken: str | None = None
        self._cut: InfrastructureError | None = None  # why node 0's store can't be reached any more
        self._problem: GbenchError | None = None
        self._raise_in_main: Callable[[BaseException], None] | None = None
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._beat, self._look)]
        for thread in self._threads:
            thread.start()

    @property
    def here(self) -> Here:
        return self.nodes[self.number]

    def name(self, number: int) -> str:
        """A node, for a sentence."""
        return f"node {number} ({self.nodes[number].host}, {self.nodes[number].address})"

    def publish(self, name: str, value: Any) -> None:
        """Let every node read a value. Raises InfrastructureError: node 0 can't be reached."""
        self._reach(lambda: self._store.set(f"gbench/{name}", json.dumps(value)))

    def wait_for(self, name: str, patience_s: float | None = None) -> Any:
        """A value that another node publishes.

        patience_s: how long to wait, whatever has ended; None: until a node has ended or was lost.

        Raises GbenchError: it did not come.
        """
        until = None if patience_s is None else time.monotonic() + patience_s
        while not self._reach(lambda: self._store.check([f"gbench/{name}"])):
            if until is None:
                self.raise_problem()
            elif time.monotonic() > until:
                raise InfrastructureError(f"{name} did not come within {patience_s:g} s", "see the log of each node")
            time.sleep(POLL_S)
        return json.loads(self._reach(lambda: self._store.get(f"gbench/{name}")))

    def exchange(self, name: str, value: Any) -> list[Any]:
        """`value` of every node, in order; every node must call it. Raises as `wait_for`."""
        self.publish(f"{name}/{self.number}", value)
        return [self.wait_for(f"{name}/{node}") for node in range(len(self.nodes))]

    def send(self, name: str, data: bytes) -> None:
        """Give node 0 some bytes. Raises InfrastructureError."""
        self._reach(lambda: self._store.set(f"gbench/{name}", data))  # type: ignore[arg-type]  # torch takes both

    def take(self, name: str) -> bytes:
        """Bytes that a node has sent, which are then gone from the store. Raises InfrastructureError."""
        data: bytes = self._reach(lambda: self._store.get(f"gbench/{name}"))
        self._reach(lambda: self._store.delete_key(f"gbench/{name}"))
        return data

    def raise_problem(self) -> None:
        """Raises GbenchError: another node has ended or was lost."""
        if self._problem is not None:
            raise self._problem

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise in the block, in the main thread, what `raise_problem` would."""

        with raising_in_main() as self._raise_in_main:
            try:
                self.raise_problem()
                yield
            finally:
                self._raise_in_main = None

    def cause(self, error: GbenchError) -> GbenchError:
        """Why this node failed: `error`, or the end of another node if a rank only lost it or waited."""
        if isinstance(error, Hung):
            return self._who_hangs(error)
        if error is self._problem or not any(word in str(error) for word in CUT):
            return error
        with suppress(GbenchError):
            self.publish(f"hung/{self.number}", "")  # nobody needs to wait for what this node says
        until = time.monotonic() + 2 * CAUSE_S
        while self._problem is None and not self._silent and time.monotonic() < until:
            time.sleep(POLL_S)
        if self._problem is not None:
            return self._problem
        return self._lost(self._silent[0], CAUSE_S) if self._silent else error

    @property
    def _silent(self) -> list[int]:
        """Other nodes that have missed several beats."""
        return [node for node in range(len(self.nodes)) if node != self.number and self.is_silent(node)]

    def _who_hangs(self, error: Hung) -> GbenchError:
        """The error of the node that sees which rank is missing; `error` if none does."""
        self.publish(f"hung/{self.number}", error.what)
        until, said = time.monotonic() + CAUSE_S, dict[int, str]()
        for node in range(len(self.nodes)):
            with suppress(GbenchError):
                said[node] = self.wait_for(f"hung/{node}", max(POLL_S, until - time.monotonic()))
        for is_missing in (IS_STOPPED, IS_BEHIND):
            for node, what in said.items():
                if what.endswith(is_missing):
                    return error if node == self.number else Hung(f"{self.name(node)} says: {what}", error.hint)
        return error

    def __enter__(self) -> Meeting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(GbenchError):
            if error is not None:
                self.tell(error)
            self._leave()
        self._closing.set()
        for thread in self._threads:
            thread.join(BEAT_S)

    def tell(self, error: BaseException) -> None:
        """Let the others know why this node ends, unless it is because of one of them; the first to do so counts."""
        if error is self._problem:
            return
        if not isinstance(error, GbenchError):
            error = RunFailed(f"a bug of gbench there ({error!r})", "read its output")
        if isinstance(error, Interrupted):
            error = RunFailed(error.what, "what the run had written is kept")
        text = json.dumps({"node": self.number, "error": worker_error(error).model_dump()})
        self._reach(lambda: self._store.compare_set("gbench/ended", "", text))

    def _leave(self) -> None:
        """Node 0 keeps the store until the others have left it."""
        self.publish(f"left/{self.number}", True)
        until = time.monotonic() + LEAVE_S
        while self.number == 0 and time.monotonic() < until:
            names = [f"gbench/left/{node}" for node in range(len(self.nodes)) if not self.is_silent(node)]
            if self._reach(lambda names=names: self._store.check(names)):  # type: ignore[misc]  # mypy: a default
                return
            time.sleep(POLL_S)

    def is_silent(self, node: int) -> bool:
        """Whether a node has missed several beats."""
        return time.monotonic() - self._heard[node] > CAUSE_S

    def _reach(self, call: Callable[[], Any]) -> Any:
        if self._cut is not None:  # every further call would wait for its time limit
            raise self._cut
        try:
            return call()
        except RuntimeError as error:  # torch.distributed.DistError
            self._cut = self._lost(0, 0, str(error))
            raise (self._problem or self._cut) from error

    def _lost(self, node: int, silent_s: float, why: str = "") -> InfrastructureError:
        heard = (
            f"was not heard of for {silent_s:.0f} s" if silent_s else f"can't be reached ({why.splitlines()[0]:.200})"
        )
        return InfrastructureError(
            f"{self.name(node)} {heard}", "see whether it runs, and the network between the nodes; then start again"
        )

    def _beat(self) -> None:
        """Thread: note that this node is there, and when each other one last did."""
        own, count = f"gbench/beat/{self.number}", 0
        names = {node: f"gbench/beat/{node}" for node in range(len(self.nodes))}
        try:
            while not self._closing.wait(BEAT_S if count else 0):
                count += 1
                self._beats.set(own, str(count))
                for node, name in names.items():
                    if self._beats.check([name]) and (beat := self._beats.get(name)) != self._counts.get(node):
                        self._counts[node], self._heard[node] = beat, time.monotonic()
                if self._beats.check(["gbench/ended"]):
                    ended = json.loads(self._beats.get("gbench/ended"))
                    if ended["node"] != self.number:
                        found = Ended(ended["node"], WorkerError(**ended["error"]))
                        self._problem = self._problem or found.to_raise(self.name(found.node))
        except RuntimeError as error:
            self._broken = str(error)

    def _look(self) -> None:
        """Thread: end the wait for the worker when another node has ended or was lost."""
        while not self._closing.wait(POLL_S):
            if self._problem is None:
                self._problem = self._find_lost()
            raise_in_main = self._raise_in_main
            if self._problem is not None and raise_in_main is not None:
                self._raise_in_main = None
                raise_in_main(self._problem)

    def _find_lost(self) -> InfrastructureError | None:
        """A node that has left without a word."""
        if self._broken is not None and not self._closing.is_set():
            return self._lost(0, 0, self._broken)
        now = time.monotonic()
        lost = [node for node, heard in self._heard.items() if node != self.number and now - heard > LOST_S]
        if self.number and len(lost) == len(self.nodes) - 1:
            lost = [0]  # nothing is heard of any: the way to the store is cut
        found = self._lost(lost[0], LOST_S) if lost else None
        if self.number and lost[:1] == [0]:
            self._cut = found
        return found


def agree(meeting: Meeting, spec: RunSpec) -> None:
    """Raises UsageError: another node was started with other values."""
    values = spec.model_dump(mode="json", exclude={*OF_ONE_NODE, "config"}) | spec.config.settings
    for node, other in enumerate(meeting.exchange("spec", values)):
        if differing := [key for key in values if other.get(key) != values[key]]:
            key = differing[0]
            raise UsageError(
                f"{meeting.name(node)} has {key} {other.get(key)}, {meeting.name(meeting.number)} has {values[key]}",
                "start the same command on every node",
            )
