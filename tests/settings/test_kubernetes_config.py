"""The options of --runner kubernetes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.errors import UsageError
from gbench.settings.kubernetes_config import KubernetesConfig
from gbench.settings.request import OF_KUBERNETES
from gbench.settings.spec import RunSpec

Make = Callable[..., RunSpec]
GIVEN = {"runner": "kubernetes", "image": "registry.example/gbench:1", "claim": "data", "datasets_dir": None}


def test_every_option_gets_into_the_spec(make_spec: Make) -> None:
    spec = make_spec(**GIVEN, queue_timeout_s=60.0)
    assert set(OF_KUBERNETES) == set(KubernetesConfig.model_fields) - {"allow"}
    assert spec.kubernetes == spec.cluster == KubernetesConfig(claim="data", queue_timeout_s=60.0)
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec
    assert (spec.slurm, make_spec(runner="local").kubernetes) == (None, None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": None}, "--runner kubernetes needs an image in a registry that the cluster's nodes reach; push one"),
        ({"claim": None}, "needs the PersistentVolumeClaim that holds the dataset: none is given; give --claim NAME"),
        ({"claim": "My Data"}, "--claim 'My Data' is no name of one; give --claim NAME"),
        ({"datasets_dir": "/data"}, "--datasets-dir has no effect with --runner kubernetes"),
        ({"partition": "gpu"}, "--partition has no effect with --runner kubernetes; add --runner slurm"),
        ({"cuda_visible_devices": "1"}, "--gpus has no effect with --runner kubernetes"),
        ({"nodes": 2, "device_count": 2, "rdzv": "10.0.0.1:1"}, "--rdzv has no effect with --runner kubernetes"),
        ({"profile": "optimized"}, "--profile optimized has no effect with --runner kubernetes"),
        ({"runner": "slurm", "image": None}, "--claim has no effect with --runner slurm; add --runner kubernetes"),
    ],
)
def test_what_is_refused(make_spec: Make, changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_spec(**{**GIVEN, **changes})
    assert says in str(raised.value)


@pytest.mark.parametrize("verb", ["converge", "profile"])
def test_only_launches_run_there(gbench: Callable[..., Answer], verb: str) -> None:
    given = ["--device", "cpu", "--runner", "kubernetes", "--image", "registry.example/gbench:1"]
    claim = ["--claim", "data"] if verb == "converge" else []
    answer = gbench(verb, "pix2pix_resnet_9blocks", 1, 1, "FP32", *given, *claim, "--dry-run")
    assert answer.code == 2 and ("gbench launch only" in answer.err or "--claim" in answer.err), answer.err


def test_a_check_is_of_this_host(gbench: Callable[..., Answer]) -> None:
    answer = gbench("check", "--runner", "kubernetes", "--device", "cpu")
    assert (answer.code, "--runner kubernetes: a check is of this host" in answer.err) == (2, True), answer.err


def test_a_spec_file_has_the_same_options(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "{model: pix2pix_resnet_9blocks, batch_size: 4, device_count: 1, precision: FP32, device: cpu, "
        "dataset: facades, runner: kubernetes, image: registry.example/gbench:1, claim: data, queue_timeout: 30m}"
    )
    answer = gbench("launch", "run.yaml", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["spec"]["kubernetes"] == {"claim": "data", "queue_timeout_s": 1800.0, "allow": []}
    assert answer.json["request"]["kind"] == "TrainJob"
