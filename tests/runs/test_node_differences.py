"""Which differences between the nodes of a run are refused, and which are only reported."""

from __future__ import annotations

from typing import Any

import pytest

from gbench.errors import UsageError
from gbench.runfolder.host_facts import HostFacts
from gbench.runs.node_differences import require_alike


def node(
    number: int, driver: str = "550.1", gpu: str = "NVIDIA H200", image: str = "sha256:aa", **more: Any
) -> HostFacts:
    values: dict[str, Any] = {
        "where": {"runner": "docker", "image_id": image},
        "hardware": {"os": "Debian", "gpus": [gpu], "driver": driver, "mem": "128 GB"},
        "node": {"number": number, "address": f"10.0.0.{number}", "clocks": ["SM 1980 MHz"], **more},
    }
    return HostFacts.model_validate(values)


def test_equal_nodes_differ_in_nothing() -> None:
    assert require_alike([node(0), node(1)], []) == []


def test_a_driver_and_clocks_are_reported() -> None:
    found = require_alike([node(0), node(1, driver="560.2", clocks=["SM 1700 MHz"])], [])
    assert found == [
        "nodes differ in driver: 550.1 (0), 560.2 (1)",
        "nodes differ in clocks: SM 1980 MHz (0), SM 1700 MHz (1)",
    ]


@pytest.mark.parametrize(
    ("other", "field"),
    [(node(1, gpu="NVIDIA H100"), "device"), (node(1, image="sha256:bb"), "image"), (node(1, torch="2.7"), "torch")],
)
def test_another_card_or_software_needs_allow(other: HostFacts, field: str) -> None:
    with pytest.raises(UsageError) as error:
        require_alike([node(0), other], [])
    assert f"nodes differ in {field}: " in str(error.value)
    assert f"give --allow {field} on every node" in str(error.value)
    assert len(require_alike([node(0), other], [field])) == 1


def test_a_field_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--allow 'colour' is not a field of nodes; known: device, image"):
        require_alike([node(0)], ["colour"])
