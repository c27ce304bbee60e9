"""The verdict on a fleet as lines."""

from __future__ import annotations

import numpy as np
import pytest

from gbench.cli.shared.fleet_output import fleet_lines
from gbench.measure.slow_nodes import judge_fleet
from gbench.runfolder.fleet_times import NETWORK
from simulated_fleet import drawn_fleet


def lines(nodes: int, probe: str = "gemm", by: float = 0.0) -> list[str]:
    rng = np.random.default_rng(1)
    return fleet_lines(judge_fleet(drawn_fleet(rng, nodes, 0.01, 0.02, slow=1, probe=probe, by=by)))


def test_equal_nodes_have_a_row_each_and_nobody_is_excluded() -> None:
    found = lines(3)
    assert found[0].split() == [
        *("node", "host", "GEMM", "TFLOP/s", "copy", "GB/s", "loader", "img/s"),
        "network",
        "GB/s",
    ]
    assert [line.split()[:2] for line in found[1:4]] == [["0", "n0"], ["1", "n1"], ["2", "n2"]]
    assert found[-1] == "exclude: none"
    assert not any("*" in line for line in found)


@pytest.mark.parametrize("probe", ["loader", NETWORK])
def test_a_slow_node_is_marked_named_and_excluded(probe: str) -> None:
    found = lines(4, probe, 2.0)
    assert [line.split()[1] for line in found if " *" in line] == ["n1"]
    assert found[-2].startswith(f"node 1 (n1) takes 3.0 times as long in {probe} (95 % interval ")
    assert found[-1] == "exclude: --exclude=n1"


def test_two_nodes_that_differ() -> None:
    *_, said, exclude = lines(2, by=0.5)
    assert said.startswith("node 1 (n1) is 5") and said.endswith(
        "; two nodes have no majority: probe a third with them"
    )
    assert exclude == "exclude: none"


def test_links_of_many_nodes_are_left_to_json() -> None:
    assert "78 links; --json has all" in lines(13)
