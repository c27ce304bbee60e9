"""A run on several nodes: what a request must say, and which specs are of which version."""

import json
from typing import Any

import pytest

from gbench.base.paths import project_file
from gbench.cndb.from_run import OF_ONE_RUN
from gbench.errors import UsageError
from gbench.settings import quantities
from gbench.settings.defaults import resolve_values
from gbench.settings.request import OF_NODES, Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec

HERE = "10.0.0.1:29500"


def spec_of(**changes: object) -> RunSpec:
    values = {"model": "pix2pix_resnet_9blocks", "batch_size": 8, "device_count": 4, "precision": "FP32"}
    return resolve(Request(**{**values, **changes}), {}).spec  # type: ignore[arg-type]


def test_device_count_is_the_total_and_is_split_evenly() -> None:
    spec = spec_of(nodes=2, rdzv=HERE, node_rank=1)
    assert (spec.spec_version, spec.world_size, spec.devices_per_node, spec.batch_per_device) == (2, 4, 2, 2)


def test_on_one_node_a_spec_and_its_record_stay_as_they_were() -> None:
    spec = spec_of()
    assert (spec.spec_version, spec.world_size, spec.devices_per_node) == (1, 4, 4)
    assert set(OF_NODES) - {"nodes"} < OF_ONE_RUN  # none of them gets into a record
    fixtures = project_file("tests/fixtures/run-folders-v1/results")
    for path in fixtures.glob("*/spec.json"):
        old = RunSpec.model_validate_json(path.read_text(encoding="utf-8"))
        assert (old.spec_version, old.devices_per_node) == (1, old.device_count)
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert without_new_keys(json.loads(old.model_dump_json()), kept) == kept


def without_new_keys(values: Any, kept: Any) -> Any:
    """`values` with only those keys that `kept` has, at every depth."""
    if not isinstance(kept, dict):
        return values
    return {key: without_new_keys(values.get(key), value) for key, value in kept.items()}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"nodes": 3, "rdzv": HERE},
            "DEVICE_COUNT 4, the total over all nodes, can't be divided evenly over 3; take 6",
        ),
        ({"nodes": 2}, "--nodes 2 needs --rdzv HOST:PORT; give an address of the first host"),
        ({"nodes": 2, "rdzv": HERE, "node_rank": 2}, "--node-rank 2: 2 nodes have the numbers 0 to 1"),
        ({"rdzv": HERE}, "--rdzv has no effect on one node; leave it out, or give --nodes"),
        ({"node_rank": 0}, "--node-rank has no effect on one node"),
        ({"network": "host", "runner": "local"}, "--network host has no effect with --runner local; leave one of"),
    ],
)
def test_what_contradicts_itself_gets_one_sentence(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as error:
        spec_of(**changes)
    assert says in str(error.value)


@pytest.mark.parametrize("endpoint", ["10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "a b:1", ":29500", "fd00::1:29500"])
def test_no_endpoint(endpoint: str) -> None:
    assert quantities.endpoint(endpoint) is None


@pytest.mark.parametrize(
    ("given", "taken"),
    [("2, 3", "2,3"), ("GPU-8f,MIG-1", "GPU-8f,MIG-1"), ("2,3,2", None), ("2,", None), ("", None), ("card 1", None)],
)
def test_a_list_of_gpus_has_each_once(given: str, taken: str | None) -> None:
    assert quantities.gpus(given) == taken


def test_a_spec_file_may_name_nodes() -> None:
    values = {"model": "pix2pix_resnet_9blocks", "batch_size": 8, "device_count": 4, "precision": "FP32"}
    spec = resolve_values({**values, "nodes": 4, "rdzv": "[fd00::1]:29500", "rdzv_timeout": "90s"}, "run.yaml", {}).spec
    assert (spec.nodes, spec.rdzv, spec.rdzv_timeout_s) == (4, "[fd00::1]:29500", 90.0)
