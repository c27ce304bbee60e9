"""How the nodes of a run find each other and stay in touch: several meet on this host, each in a thread."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from gbench.errors import GbenchError, InfrastructureError, RunFailed, UsageError
from gbench.runs import meeting, rendezvous
from gbench.runs.meeting import Meeting, agree
from gbench.runs.rendezvous import arrive
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec


@pytest.fixture(autouse=True)
def short_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "CLOSING_S", 0.5)


def spec_at(port: int, nodes: int, **changes: Any) -> RunSpec:
    values = {
        "model": "pix2pix_resnet_9blocks",
        "batch_size": 12,
        "device_count": 12,
        "precision": "FP32",
        "nodes": nodes,
    }
    values |= {"rdzv": f"127.0.0.1:{port}", "rdzv_timeout_s": 60.0, "device": "cpu", "runner": "local"}
    return resolve(Request(**{**values, **changes}), {}).spec


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def quiet(text: str) -> None:
    pass


def together(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What `act` returns or raises for each node, all at once."""

    def caught(node: int) -> Any:
        try:
            return act(node)
        except GbenchError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(caught, range(count)))


def test_nodes_without_a_rank_are_numbered_each_once() -> None:
    port = free_port()
    arrived = together(3, lambda node: arrive(spec_at(port, 3), quiet))
    assert sorted(one.number for one in arrived) == [0, 1, 2]
    assert len({tuple(one.nodes) for one in arrived}) == 1
    assert {one.endpoint for one in arrived} == {f"127.0.0.1:{port}"}
    assert [one.interface for one in arrived[0].nodes] == ["lo"] * 3


def test_nodes_with_ranks_have_them() -> None:
    port, ranks = free_port(), [2, 0, 1]
    arrived = together(3, lambda node: arrive(spec_at(port, 3, node_rank=ranks[node]), quiet))
    assert [one.number for one in arrived] == ranks


def test_two_nodes_of_one_rank_are_both_refused() -> None:
    port, ranks = free_port(), [0, 1, 1]
    arrived = together(3, lambda node: arrive(spec_at(port, 3, node_rank=ranks[node]), quiet))
    assert all("2 nodes have --node-rank 1" in str(one) for one in arrived), arrived


def test_those_who_came_say_who_did_not() -> None:
    port, ranks = free_port(), [0, 2]
    arrived = together(2, lambda node: arrive(spec_at(port, 3, node_rank=ranks[node], rdzv_timeout_s=1.0), quiet))
    assert {type(one) for one in arrived} == {InfrastructureError}
    for one in arrived:
        assert f"1 of 3 nodes did not come to 127.0.0.1:{port} within 1 s: node 1; there are " in str(one)


def test_the_deadline_holds_for_any_number_of_nodes() -> None:
    port, many = free_port(), 100_000_000
    with pytest.raises(InfrastructureError, match=r"99999999 of 100000000 nodes did not come"):
        arrive(spec_at(port, many, node_rank=0, rdzv_timeout_s=0.5, batch_size=many, device_count=many), quiet)


def test_without_node_0_the_others_say_so() -> None:
    with pytest.raises(InfrastructureError, match=r"node 0 did not come: nothing answers at 127\.0\.0\.1:"):
        arrive(spec_at(free_port(), 2, node_rank=1, rdzv_timeout_s=0.5), quiet)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["http", "silent"])
def test_another_program_that_answers_is_not_node_0(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            with suppress(OSError):  # closed
                while True:
                    one, _ = other.accept()
                    connections.append(one)
                    if answer:
                        one.sendall(answer)

        connections: list[socket.socket] = []
        pool.submit(serve)
        with pytest.raises(InfrastructureError, match=r"what answers there is not node 0 of a gbench run \("):
            arrive(spec_at(other.getsockname()[1], 2, node_rank=1, rdzv_timeout_s=1.0), quiet)
        other.shutdown(socket.SHUT_RDWR)
        for one in connections:
            one.close()


def test_the_launcher_meets_without_loading_the_networks() -> None:
    code = "import sys, gbench.runs.several_hosts; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_a_port_in_use_and_an_address_of_another_host() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        with pytest.raises(UsageError, match=r"can't listen there \(it is in use\); take another port"):
            arrive(spec_at(taken.getsockname()[1], 2, node_rank=0), quiet)
    with pytest.raises(UsageError, match=r"--rdzv 192\.0\.2\.1 is no address of this host"):
        arrive(spec_at(1, 2, node_rank=0, rdzv="192.0.2.1:29500"), quiet)


def test_a_node_too_many_is_refused() -> None:
    port = free_port()

    def come(node: int) -> str:
        with Meeting(spec_at(port, 2), quiet) as own:
            own.exchange("ready", node)
            if own.number == 0:
                with pytest.raises(UsageError, match="a run already has its 2 nodes there; give each run another port"):
                    arrive(spec_at(port, 2, node_rank=1), quiet)
            own.exchange("done", node)
            return own.name(own.number)

    assert len(set(together(2, come))) == 2


def test_nodes_exchange_values_and_must_agree() -> None:
    port = free_port()

    def come(node: int) -> Any:
        with Meeting(spec := spec_at(port, 2, seed=node), quiet) as own:
            values = own.exchange("number", own.number)
            own.send(f"bytes/{own.number}", bytes([0, 255, own.number]))
            own.exchange("sent", True)
            taken = own.take(f"bytes/{own.number}")
            assert (values, taken) == ([0, 1], bytes([0, 255, own.number]))
            agree(own, spec)

    for error in together(2, come):
        assert isinstance(error, UsageError)
        assert " has seed 0, node " in str(error) or " has seed 1, node " in str(error)


def test_the_end_of_a_node_ends_the_others() -> None:
    port = free_port()

    def come(node: int) -> Any:
        with Meeting(spec_at(port, 2), quiet) as own:
            if own.number == 1:
                raise InfrastructureError("its disk is full", "free space")
            own.wait_for("never")

    errors = together(2, come)
    others = next(error for error in errors if "ended: its disk is full" in str(error))
    assert isinstance(others, InfrastructureError) and str(others).startswith("node 1 (")


def test_a_silent_node_is_lost_and_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "CAUSE_S", 1.0)
    monkeypatch.setattr(meeting, "LOST_S", 4.0)
    monkeypatch.setattr(meeting, "BEAT_S", 0.5)
    port = free_port()

    def come(node: int) -> Any:
        own = Meeting(spec_at(port, 2), quiet)
        own.exchange("ready", True)
        if own.number == 1:
            own._closing.set()  # its beats stop, as when its host is gone
            time.sleep(6)
            return None
        with own:
            with pytest.raises(InfrastructureError, match=r"node 1 \(.*\) was not heard of for 4 s"):
                own.wait_for("never")
            gone = own.cause(RunFailed("RuntimeError: Connection closed by peer", ""))
            assert "node 1" in str(gone)
            other = RunFailed("the losses became NaN", "")
            assert own.cause(other) is other
            return "seen"

    assert "seen" in together(2, come)
