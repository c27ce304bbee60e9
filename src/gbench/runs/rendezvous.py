"""How the nodes of a run find each other: one of them holds a TCPStore at --rdzv, where all of them are numbered."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import psutil

from gbench.base.threads import within
from gbench.errors import InfrastructureError, UsageError
from gbench.machine.machine_key import host_name

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not in its __all__

    from gbench.settings.spec import RunSpec

POLL_S = 0.2
STORE_S = 30.0  # for an answer of the store
CLOSING_S = 5.0  # for the others to read why they were turned away


@dataclass(frozen=True)
class Here:
    """A node that has come."""

    host: str
    address: str
    interface: str | None
    rank: int | None
    """--node-rank."""

    def __str__(self) -> str:
        return f"{self.host} ({self.address})"


@dataclass(frozen=True)
class Arrived:
    store: TCPStore
    endpoint: str
    """Of the store, as a number: containers know no names."""
    number: int
    nodes: list[Here]


def arrive(spec: RunSpec, say: Callable[[str], None]) -> Arrived:
    """Wait at --rdzv until all nodes are there.

    Raises:
        InfrastructureError: they are not, after --rdzv-timeout; says how many are missing, and which have come. Or
            another program answers there.
        UsageError: the nodes contradict each other, or another run meets there.
    """
    _load_torch()
    try:
        return _arrive(spec, say)
    except RuntimeError as error:  # torch.distributed.DistError
        raise InfrastructureError(
            f"--rdzv {spec.rdzv}: what answers there is not node 0 of a gbench run ({str(error).splitlines()[0]:.200})",
            "see whether gbench still runs on that host, and whether another program has the port",
        ) from error


def _arrive(spec: RunSpec, say: Callable[[str], None]) -> Arrived:
    assert spec.rdzv is not None, "check_spec"
    until = time.monotonic() + spec.rdzv_timeout_s
    host, port = split(spec.rdzv)
    own = own_addresses()
    address = _own_address(host, spec.node_rank, own)
    store = None if address is None else _hold_store(address, port, spec)
    if store is not None and address is not None:
        say(f"waiting at {spec.rdzv} for {spec.nodes} nodes, at most {spec.rdzv_timeout_s:g} s")
        here = Here(host_name(), address, own.get(address), 0)
        return Arrived(store, joined(address, port), 0, _number(store, spec, here, until))
    while True:
        peer, address = _reach(host, port, spec, until, say)
        here = Here(host_name(), address, own.get(address), spec.node_rank)
        store = open_store(joined(peer, port), min(STORE_S, max(POLL_S, until - time.monotonic())))
        store.set_timeout(timedelta(seconds=STORE_S))
        if (place := _come(store, spec, here)) is not None:
            break
        time.sleep(POLL_S)  # a run that has ended is leaving
    while not store.check(["gbench/nodes"]):
        if store.check(["gbench/turned_away"]):
            what, hint = json.loads(store.get("gbench/turned_away"))
            raise InfrastructureError(what, hint)
        if time.monotonic() > until + CLOSING_S:
            raise _missing(spec, [here], spec.nodes - 1)
        time.sleep(POLL_S)
    found = json.loads(store.get("gbench/nodes"))
    nodes = [Here(**values) for values, _ in found]
    return Arrived(store, joined(peer, port), [one for _, one in found].index(place), nodes)


def _load_torch() -> None:
    """Load it before the wait: it takes seconds, which must not pass after the others have come."""
    name = "TORCH_CPP_LOG_LEVEL"
    given = os.environ.get(name)
    os.environ[name] = given or "FATAL"  # else it prints stacks of C++; what it raises becomes one sentence
    import_module("torch.distributed")
    if given is None:
        del os.environ[name]  # the ranks' own


def split(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]"), int(port)


def joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def open_store(endpoint: str, answer_s: float) -> TCPStore:
    """A client of the store. Raises RuntimeError: it can't be reached, or says nothing for `answer_s`."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not in its __all__

    address, port = split(endpoint)

    def connect() -> TCPStore:
        limit = timedelta(seconds=answer_s)
        return TCPStore(address, port, is_master=False, timeout=limit, wait_for_workers=False)

    try:
        return within(answer_s, connect)  # torch itself waits without end for a program that accepts, and says nothing
    except TimeoutError as error:
        raise RuntimeError(str(error)) from error


def own_addresses() -> dict[str, str]:
    """The addresses of this host, and the network interface of each."""
    families = (socket.AF_INET, socket.AF_INET6)
    interfaces = psutil.net_if_addrs().items()
    return {one.address.partition("%")[0]: name for name, them in interfaces for one in them if one.family in families}


def _own_address(host: str, rank: int | None, own: dict[str, str]) -> str | None:
    """The address by which the others reach this host, if it is the one of --rdzv; else None.

    Raises UsageError: it should be, and is not.
    """
    if rank:
        return None
    names = {host_name(), host_name().partition(".")[0]}
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        found = [] if host in names else _resolved(host)
    mine = [one for one in found if one in own]
    if not mine and host in names:
        mine = [one for one in _resolved(host) if one in own and not ipaddress.ip_address(one).is_loopback]
        if not mine:
            raise UsageError(
                f"--rdzv {host}: this host does not know which of its addresses that is", "give the address as a number"
            )
    if not mine and rank == 0:
        raise UsageError(
            f"--node-rank 0, but --rdzv {host} is no address of this host ({', '.join(sorted(own))})",
            "give one of them, or another --node-rank",
        )
    return mine[0] if mine else None


def _resolved(name: str) -> list[str]:
    try:
        return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)))
    except OSError:
        return []


def _hold_store(address: str, port: int, spec: RunSpec) -> TCPStore | None:
    """The store of the run, held by this process; None if another node on this host holds it.

    Raises UsageError: the port is in use, and this is node 0.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not in its __all__

    try:
        return TCPStore(address, port, is_master=True, timeout=timedelta(seconds=STORE_S), wait_for_workers=False)
    except RuntimeError as error:  # torch.distributed.DistNetworkError
        if spec.node_rank == 0:
            why = "it is in use" if "EADDRINUSE" in str(error) else str(error).splitlines()[0]
            raise UsageError(
                f"--rdzv {spec.rdzv}: this host can't listen there ({why})", "take another port"
            ) from error
        return None


def _reach(host: str, port: int, spec: RunSpec, until: float, say: Callable[[str], None]) -> tuple[str, str]:
    """The address of node 0, and the one of this host on the way to it. Raises InfrastructureError: no answer."""
    said = False
    while True:
        try:
            with socket.create_connection((host, port), timeout=max(0.1, min(5.0, until - time.monotonic()))) as there:
                return str(there.getpeername()[0]), str(there.getsockname()[0])
        except OSError as error:
            why = error.strerror or str(error)
        if not said:
            say(f"waiting for node 0 at {spec.rdzv}, at most {spec.rdzv_timeout_s:g} s")
            said = True
        if time.monotonic() > until:
            raise InfrastructureError(
                f"node 0 did not come: nothing answers at {spec.rdzv} after {spec.rdzv_timeout_s:g} s ({why})",
                "start gbench on the host with this address, and let its port through",
            )
        time.sleep(POLL_S)


def _come(store: TCPStore, spec: RunSpec, here: Here) -> int | None:
    """Note that this node is there; returns the how many-th it is, None if the run there has ended.

    Raises UsageError: that run has all its nodes.
    """
    place = store.add("gbench/come", 1) - 1
    if place >= spec.nodes:
        if store.check(["gbench/record"]) or store.check(["gbench/ended"]):
            return None
        raise UsageError(
            f"--rdzv {spec.rdzv}: a run already has its {spec.nodes} nodes there", "give each run another port"
        )
    store.set(f"gbench/come/{place}", json.dumps(asdict(here)))
    return int(place)


def _number(store: TCPStore, spec: RunSpec, here: Here, until: float) -> list[Here]:
    """Wait for all nodes, and number them: this one is the first. Raises InfrastructureError, UsageError."""
    _come(store, spec, here)
    come: dict[int, Here] = {}
    while len(come) < spec.nodes:
        for place in range(min(spec.nodes, store.add("gbench/come", 0))):
            if place not in come and store.check([f"gbench/come/{place}"]):
                come[place] = Here(**json.loads(store.get(f"gbench/come/{place}")))
        if len(come) < spec.nodes and time.monotonic() > until:
            missing = _missing(spec, list(come.values()), spec.nodes - len(come))
            if len(come) > 1:
                _turn_away(store, missing)
            raise missing
        time.sleep(POLL_S)
    ranks = [one.rank for one in come.values() if one.rank is not None]
    if twice := [rank for rank in ranks if ranks.count(rank) > 1]:
        wrong = UsageError(f"{ranks.count(twice[0])} nodes have --node-rank {twice[0]}", "give each its own, or none")
        _turn_away(store, wrong)
        raise wrong
    free = iter(sorted(set(range(spec.nodes)) - set(ranks)))
    by_address = sorted(come.items(), key=lambda item: (item[1].address, item[0]))
    numbered = [(next(free) if one.rank is None else one.rank, place, one) for place, one in by_address]
    found = [(replace(one, rank=number), place) for number, place, one in sorted(numbered, key=lambda it: it[:2])]
    store.set("gbench/nodes", json.dumps([(asdict(one), place) for one, place in found]))
    return [one for one, _ in found]


def _missing(spec: RunSpec, come: Sequence[Here], count: int) -> InfrastructureError:
    ranks = {one.rank for one in come}
    numbers = [str(rank) for rank in range(spec.nodes) if rank not in ranks]
    which = f": node {' and '.join(numbers)}" if len(numbers) == count else ""
    there = ", ".join(map(str, come))
    return InfrastructureError(
        f"{count} of {spec.nodes} nodes did not come to {spec.rdzv} within {spec.rdzv_timeout_s:g} s{which}; "
        f"there {'is' if len(come) == 1 else 'are'} {there}",
        "see why gbench is not running there, or give them longer by --rdzv-timeout",
    )


def _turn_away(store: TCPStore, error: Any) -> None:
    store.set("gbench/turned_away", json.dumps([error.what, error.hint]))
    time.sleep(CLOSING_S)
