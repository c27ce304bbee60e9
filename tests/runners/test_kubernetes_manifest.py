"""The TrainJob of a run: valid against Kubeflow Trainer's schema, without privileges, without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support import Answer

from gbench.runners.kubernetes_manifest import job_of, reader_pod, train_job
from gbench.settings.spec import RunSpec

Make = Callable[..., RunSpec]
GIVEN = {"runner": "kubernetes", "image": "registry.example/gbench@sha256:" + 64 * "0", "claim": "data"}


@pytest.fixture
def make(make_spec: Make) -> Make:
    return lambda **changes: make_spec(**{**GIVEN, "datasets_dir": None, **changes})


def strict(schema: Any) -> Any:
    """A schema that refuses what a cluster would drop: fields that it does not know."""
    if isinstance(schema, dict):
        closed = {"additionalProperties": False} if "properties" in schema else {}
        return {**closed, **{key: strict(value) for key, value in schema.items()}}
    return [strict(value) for value in schema] if isinstance(schema, list) else schema


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    (patch,) = job["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod: dict[str, Any] = node["template"]["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("changes", [{}, {"nodes": 2, "device_count": 4, "device": "cuda", "timeout_s": 90.5}])
def test_it_is_valid_against_the_published_schema(
    make: Make, shared: Callable[[str], Path], changes: dict[str, object]
) -> None:
    definition = yaml.safe_load(shared("schemas/trainer.kubeflow.org_trainjobs.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    job = train_job(make(**changes))
    assert job["apiVersion"] == f"{definition['spec']['group']}/{version['name']}"
    assert job["kind"] == definition["spec"]["names"]["kind"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.Draft202012Validator(schema).validate(job)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**job, "spec": {**job["spec"], "image": "x"}})


def test_what_it_asks_for(make: Make) -> None:
    spec = make(nodes=2, device_count=16, batch_size=32, device="cuda", timeout_s=90.5)
    job = train_job(spec.replaced(run_id="20261130T112806Z-pix2pix_resnet_9blocks-0a1b2c"))
    assert job["metadata"]["name"] == "gbench-20261130t112806z-0a1b2c"
    assert job["spec"]["activeDeadlineSeconds"] == 91
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert trainer["resourcesPerNode"] == {"limits": {"nvidia.com/gpu": 8}}
    assert "resourcesPerNode" not in train_job(make())["spec"]["trainer"]
    assert not any(one["name"].startswith("PET_") for one in trainer["env"])  # Kubeflow Trainer refuses them
    assert len(job_of(spec)) <= 40  # with the pods' endings below the 63 of a host name


def test_pods_have_no_privileges(make: Make, tmp_path: Path) -> None:
    script = tmp_path / "own.sh"
    script.write_text("true")
    for spec, read_only in ((make(), True), (make(run_model_file=str(script)), False)):
        for pod, closed in ((pod_of(train_job(spec)), read_only), (reader_pod(spec)["spec"], True)):
            assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            (container,) = pod["containers"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": closed,
            }
            assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
            assert not any("hostPath" in volume for volume in pod["volumes"])
            assert {"name": "claim", "mountPath": "/data", "readOnly": True} in container["volumeMounts"]
    assert reader_pod(spec)["spec"]["automountServiceAccountToken"] is False


def test_it_has_nothing_of_this_host(make: Make, tmp_path: Path) -> None:
    (tmp_path / "database.yaml").write_text("url: postgresql://me:secret@db/cndb")
    text = json.dumps(train_job(make(database=str(tmp_path / "database.yaml"), command_line="gbench launch secret")))
    assert "secret" not in text and str(tmp_path) not in text


def test_a_dry_run_prints_it(gbench: Callable[..., Answer]) -> None:
    given = ["--runner", "kubernetes", "--image", "registry.example/gbench:1", "--claim", "data"]
    answer = gbench("launch", "pix2pix_resnet_9blocks", 32, 8, "FP32", *given, "--dry-run")
    assert answer.code == 0, answer.err
    job = json.loads(answer.out[answer.out.index("\n{") :])
    assert job["spec"]["trainer"]["image"] == "registry.example/gbench:1"
    assert pod_of(job)["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data"}
