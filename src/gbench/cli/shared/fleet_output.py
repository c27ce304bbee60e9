"""`gbench check --fleet`: the spec that its options describe, and the verdict on a terminal or as JSON."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.output import Terminal, echo, print_json
from gbench.cli.shared.run_options import given_except, resolved_of
from gbench.errors import InfrastructureError, RunFailed, UsageError
from gbench.runfolder.fleet_times import NETWORK
from gbench.settings.request import OF_NODES, OF_SLURM

if TYPE_CHECKING:
    from gbench.measure.slow_nodes import Figure, FleetVerdict

OF_A_FLEET = {*OF_NODES, *OF_SLURM, "fleet", "device", "runner", "cuda_visible_devices", "results_dir", "as_json"}
TITLES = {"gemm": "GEMM TFLOP/s", "copy": "copy GB/s", "loader": "loader img/s", NETWORK: "network GB/s"}
MOST_IN_A_TABLE = 12  # nodes whose links fit side by side
TWICE = 1.0


def require_fleet_options(fleet: bool) -> None:
    """Raises UsageError: an option has no effect with, or without, --fleet."""
    if fleet and (others := given_except({*OF_A_FLEET, "logs_dir", "cache_dir", "cndb_dir"})):
        raise UsageError(f"{others[0]} has no effect with --fleet", "leave it out")
    if not fleet and (others := given_except(set(click.get_current_context().params) - {*OF_NODES, *OF_SLURM})):
        raise UsageError(f"{others[0]} goes with --fleet", "leave it out, or add --fleet")


def check_fleet(given: dict[str, Any], as_json: bool) -> bool:
    """Probe the fleet and print the verdict; returns whether its nodes are alike. Raises GbenchError."""
    from gbench.measure.slow_nodes import judge_fleet
    from gbench.runs.fleet import probe_fleet

    if given["nodes"] < 2:
        raise UsageError("--fleet compares nodes, and --nodes is 1", "give --nodes N, on every node, with --rdzv")
    if given["runner"] == "kubernetes":
        raise UsageError("--fleet does not go with --runner kubernetes", "start it in a pod a node, with --rdzv")
    nodes = {"batch_size": given["nodes"], "device_count": given["nodes"], "precision": "FP32"}
    spec = resolved_of({**given, **nodes}, os.environ, more=nodes).spec
    try:
        verdict = judge_fleet(probe_fleet(spec, os.environ, Terminal(quiet=False)))
    except RunFailed as error:  # its code is that of a slow node
        raise InfrastructureError(error.what, error.hint) from error
    if as_json:
        print_json({"even": verdict.is_even, "exclude": verdict.exclude, **asdict(verdict)})
    else:
        for line in fleet_lines(verdict):
            echo(line)
    return verdict.is_even


def fleet_lines(verdict: FleetVerdict) -> list[str]:
    """The verdict for a terminal."""
    probes = list(dict.fromkeys(figure.probe for figure in verdict.figures))
    width = max(12, *(len(host) + 2 for host in verdict.hosts))
    by_node = {(figure.node, figure.probe): figure for figure in verdict.figures}
    lines = [f"{'node':<5}{'host':<{width}}" + "".join(f"{TITLES[probe]:>24}" for probe in probes)]
    for node, host in enumerate(verdict.hosts):
        cells = (_cell(by_node[node, probe]) for probe in probes)
        lines.append(f"{node:<5}{host:<{width}}" + "".join(f"{cell:>24}" for cell in cells))
    lines += ["", *_link_lines(verdict), "", *_sentences(verdict)]
    return [line.rstrip() for line in lines]


def _cell(figure: Figure) -> str:
    if figure.probe == NETWORK and not figure.named:  # against links that may be those of a slow node
        return f"{figure.rate:.4g}  "
    change = f"{abs(figure.slower):.0%} {'slower' if figure.slower >= 0 else 'faster'}"
    return f"{figure.rate:.4g} ({_times(figure.slower) or change}){' *' if figure.named else '  '}"


def _times(slower: float) -> str:
    """A large loss as a factor."""
    return f"{1 + slower:.1f} times" if slower >= TWICE else ""


def _slower(slower: float) -> str:
    return f"takes {_times(slower)} as long" if slower >= TWICE else f"is {slower:.0%} slower"


def _sentence(figure: Figure) -> str:
    low, high = (_times(end) if figure.slower >= TWICE else f"{end:.0%}" for end in (figure.low, figure.high))
    return f"{_slower(figure.slower)} in {figure.probe} (95 % interval {low} to {high})"


def _link_lines(verdict: FleetVerdict) -> list[str]:
    """The speed of each link as a table; of many nodes only the slow ones."""
    count = len(verdict.hosts)
    if count > MOST_IN_A_TABLE:
        return [f"{len(verdict.links)} links; --json has all"]
    speeds = {(link.first, link.second): f"{link.gb_s:.3g}{'*' if link.named else ''}" for link in verdict.links}
    head = f"{'GB/s':<17}" + "".join(f"{node:>8}" for node in range(1, count))
    rows = [
        f"to node {first:<9}" + "".join(f"{speeds.get((first, second), ''):>8}" for second in range(1, count))
        for first in range(count - 1)
    ]
    return [head, *rows]


def _sentences(verdict: FleetVerdict) -> list[str]:
    names = [f"node {node} ({host})" for node, host in enumerate(verdict.hosts)]
    said = [f"{names[one.node]} {_sentence(one)}" for one in verdict.figures if one.named]
    if verdict.differ:
        slower = max(verdict.figures, key=lambda figure: figure.slower)
        said.append(f"{names[slower.node]} {_sentence(slower)}; two nodes have no majority: probe a third with them")
    for link in verdict.links:
        if link.named:
            said.append(f"the link of {names[link.first]} and {names[link.second]} {_slower(link.slower)}")
    return [*said, f"exclude: {verdict.exclude or 'none'}"]
