"""A measured run on several nodes: `gbench launch --nodes N` on each of them. Node 0 writes the record.

Each node has a run folder of its own, with its host.json, log, telemetry and the steps of its ranks. That of node 0 is
the folder of the run, and those of the others end up in its `nodes/`: they are made there where the nodes share a file
system, and else sent to node 0 through the store when their workers have ended.
"""

import re
import secrets
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from gbench.base.files import make_folder, new_file, read_file, require_writable, write_atomically, write_errors
from gbench.errors import GbenchError, InfrastructureError
from gbench.machine.gpus import visible
from gbench.preflight.busy import look_ahead
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.run_result import RunResult
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import Observer, OpenRun, begin, note_start, run_worker
from gbench.runs.finish import FinishedRun, publish_run, record_run
from gbench.runs.meeting import Meeting, agree
from gbench.runs.node_differences import compare_nodes
from gbench.runs.prepare import Prepared, database_of, prepare
from gbench.settings.nccl import INTERFACES
from gbench.settings.spec import RunSpec

MARKER = ".node0"  # in the run folder: a word by which the others know that they see the same one
SENT = re.compile(r"(steps-rank\d+|telemetry)\.jsonl|(spec|host|error)\.json|(log|stacks)\.txt")
CHUNK_BYTES = 8 * 2**20
SEND_S = 30.0  # for the others to send what they have, after a failure


@dataclass(frozen=True)
class PartOfRun:
    """What a further node has of a run that went well."""

    folder: RunFolder
    node: str
    record: str
    """The record, on node 0."""

    @property
    def lines(self) -> dict[str, str]:
        """For a terminal."""
        return {"node": self.node, "run": str(self.folder.path), "record": f"{self.record} on node 0"}


def launch_on_nodes(
    spec: RunSpec, environ: Mapping[str, str], observer: Observer, rebuild: bool, allowed: Collection[str]
) -> FinishedRun | PartOfRun:
    """This node's part of a run. allowed: fields in which the nodes may differ.

    Raises GbenchError: as `launch`; a node is missing, was lost, failed, or differs from the others.
    """
    look_ahead()
    with stoppable(None):
        database = database_of(spec, environ)
        require_writable(Path(spec.cndb_dir) / "records")
        with Meeting(spec, observer.line) as meeting:
            spec = as_node(meeting, spec, environ)
            agree(meeting, spec)
            prepared = prepare(spec, environ, rebuild)
            folder, shared = _folder_of(meeting, prepared.spec)
            prepared = replace(prepared, spec=folder.spec(), runner=prepared.runner.with_spec(folder.spec()))
            with begin(prepared, observer, folder) as run:
                _compare(meeting, run, prepared, allowed)
                summary = _run_worker(meeting, run, observer, shared)
                if meeting.number:
                    return PartOfRun(folder, meeting.name(meeting.number), meeting.wait_for("record"))
                summary, record, path = record_run(run, summary, environ, database, evaluate=False)
                meeting.publish("record", str(path))
            return publish_run(run, summary, record, path, database, observer.line)


def as_node(meeting: Meeting, spec: RunSpec, environ: Mapping[str, str]) -> RunSpec:
    """The spec of this node: with the run's id, its own number, and the network interface by which ranks meet."""
    if meeting.number == 0:
        meeting.publish("run_id", spec.run_id)
    run_id = meeting.wait_for("run_id")
    given = {name: value for name in INTERFACES if (value := spec.env.get(name) or environ.get(name))}
    if meeting.here.interface is not None:  # else gloo takes the address of the host's name, which may be 127.0.0.1
        given.setdefault("GLOO_SOCKET_IFNAME", meeting.here.interface)
    return spec.replaced(
        run_id=f"{run_id}-node{meeting.number}" if meeting.number else run_id,
        node_rank=meeting.number,
        rdzv=meeting.endpoint,
        env={**spec.env, **given},
    )


def _folder_of(meeting: Meeting, spec: RunSpec) -> tuple[RunFolder, list[bool]]:
    """The new run folder of this node, and for each node whether it sees that of node 0."""
    if meeting.number == 0:
        folder = RunFolder.create(spec)
        word = secrets.token_hex(8)
        write_atomically(folder.path / MARKER, word)
        meeting.publish("folder", [spec.run_id, word])
        return folder, meeting.exchange("shared", True)
    run_id, word = meeting.wait_for("folder")
    first = RunFolder(Path(spec.results_dir) / run_id)
    seen = False
    with suppress(OSError):
        seen = read_file(first.path / MARKER) == word
    if seen:
        make_folder(first.nodes)
        spec = spec.replaced(results_dir=str(first.nodes))
    folder = RunFolder.create(spec)
    return folder, meeting.exchange("shared", seen)


def _compare(meeting: Meeting, run: OpenRun, prepared: Prepared, allowed: Collection[str]) -> None:
    """Wait until every node is ready, and compare them. Raises UsageError: they differ where they must not."""
    torch = metadata.version("torch") if run.spec.runner == "local" else None
    gpus = visible(prepared.gpus, run.spec.cuda_visible_devices)
    run.facts, differing = compare_nodes(meeting, run.facts, gpus, torch, allowed)
    for text in differing:
        run.log.line(f"warning: {text}")
    run.facts = run.facts.changed(warnings=[*run.facts.warnings, *differing])


def _run_worker(meeting: Meeting, run: OpenRun, observer: Observer, shared: list[bool]) -> RunResult | None:
    """Run this node's worker; bring the folders of all nodes together, even if it fails. Raises as `run_worker`."""
    folder = run.folder
    if meeting.number == 0:
        run.collect = lambda: _collect(meeting, folder, shared)
    note_start(run)
    try:
        return run_worker(run, _running(meeting, observer, folder))
    except GbenchError as error:
        cause = meeting.cause(error)
        meeting.tell(cause)
        folder.update_host(failure=str(cause))
        if meeting.number == 0:
            with suppress(GbenchError):
                _collect(meeting, folder, shared, SEND_S)
        raise cause from error
    finally:
        if not shared[meeting.number]:
            _send(meeting, run)


@contextmanager
def _running(meeting: Meeting, observer: Observer, folder: RunFolder) -> Iterator[None]:
    with observer.running(folder), meeting.watched():
        yield


def _send(meeting: Meeting, run: OpenRun) -> None:
    """Send this node's files to node 0; without it, say where they stay."""
    sent: dict[str, int] = {}
    try:
        for path in sorted(run.folder.path.iterdir()):
            if SENT.fullmatch(path.name) and path.is_file():
                data = zlib.compress(path.read_bytes())
                parts = range(0, len(data), CHUNK_BYTES)
                for number, start in enumerate(parts):
                    meeting.send(f"file/{meeting.number}/{path.name}/{number}", data[start : start + CHUNK_BYTES])
                sent[path.name] = len(parts)
        meeting.publish(f"sent/{meeting.number}", sent)
        meeting.wait_for(f"sent/{meeting.number}", SEND_S)  # an answer: what was published may still be on its way
    except (GbenchError, OSError) as error:
        run.log.line(
            f"warning: what {meeting.name(meeting.number)} has of the run stays there in {run.folder.path} ({error})"
        )


def _collect(meeting: Meeting, folder: RunFolder, shared: list[bool], patience_s: float | None = None) -> None:
    """Receive the files of the nodes that do not see node 0's folder. Raises GbenchError: one can't send them."""
    for node, seen in enumerate(shared):
        if seen or (patience_s is not None and meeting.is_silent(node)):
            continue
        try:
            files = meeting.wait_for(f"sent/{node}", patience_s)
        except InfrastructureError as error:
            raise InfrastructureError(
                f"{error.what}; the steps of its ranks stay there, in {folder.path.name}-node{node}",
                f"copy that folder into {folder.nodes}; then gbench summary {folder.path}",
            ) from error
        place = folder.nodes / f"{folder.path.name}-node{node}"
        make_folder(place)
        for name, parts in files.items():
            if SENT.fullmatch(name):
                data = b"".join(meeting.take(f"file/{node}/{name}/{number}") for number in range(parts))
                with write_errors(place / name), new_file(place / name) as file:
                    file.write(zlib.decompress(data))
