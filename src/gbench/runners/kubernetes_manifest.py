"""The TrainJob of a run, complete: `kubectl create -f -` by hand runs the same. And the pod that hands out its folder.

Kubeflow Trainer makes one pod a node of it, from the runtime `torch-distributed`, and tells each its number and where
node 0 is (PET_NODE_RANK, PET_MASTER_ADDR, PET_MASTER_PORT). The pod's task (`runs/kubernetes_task.py`) runs the run
script. The spec and the script are in variables of the pod, so that the job needs no file of this host.
"""

import math
import os
from pathlib import Path
from typing import Any

from gbench.base.files import read_file
from gbench.runners.containers import RUN_ID_LABEL
from gbench.runners.plan import SHM_BYTES
from gbench.settings.spec import RunSpec

API, PLURAL = ("trainer.kubeflow.org", "v1alpha1"), "trainjobs"
RUNTIME, NODE = "torch-distributed", "node"  # of Kubeflow Trainer: the runtime, and its job and container
OF_THE_JOB = "jobset.sigs.k8s.io/jobset-name"  # label of its pods
DATA, CLAIM, OWN = "/data", "/claim", "/gbench"  # the claim, read-only; the claim; the pod's own, which ends with it
RUNS = f"{CLAIM}/results"
READER_S = 3600  # the pod that hands out the run folder ends by itself after this time
SPEC_VARIABLE, SCRIPT_VARIABLE, ADDRESS_VARIABLE = "GBENCH_SPEC", "GBENCH_RUN_SCRIPT", "GBENCH_POD_IP"


def job_of(spec: RunSpec) -> str:
    """The name of a run's job: short, for its pods' names begin with it."""
    time, _, rest = spec.run_id.partition("-")
    return f"gbench-{time}-{rest.rpartition('-')[2]}".lower()


def spec_in_pod(spec: RunSpec) -> RunSpec:
    """The spec with the paths of the pod, and without what concerns this host alone."""
    return spec.replaced(
        results_dir=RUNS,
        datasets_dir=DATA,
        dataset_subdir="",
        cache_dir=f"{OWN}/cache",
        logs_dir=f"{OWN}/logs",
        run_model_file=f"{OWN}/run_model.sh",
        database=None,
        cndb_dir="",
        command_line="",
    )


def train_job(spec: RunSpec) -> dict[str, Any]:
    """The TrainJob."""
    env = {
        SPEC_VARIABLE: spec_in_pod(spec).model_dump_json(),
        SCRIPT_VARIABLE: read_file(Path(spec.run_model_file)),
        **_HOME,
    }
    gpus = {"limits": {"nvidia.com/gpu": spec.devices_per_node}} if spec.device == "cuda" else {}
    pod = {
        "volumes": _volumes(spec),
        "securityContext": _pod_security(),
        "containers": [
            {"name": NODE, "volumeMounts": _mounts(), "securityContext": _security(read_only=spec.recipe != "custom")}
        ],
    }
    job = {"name": NODE, "template": {"spec": {"template": {"spec": pod}}}}
    patch = {"template": {"spec": {"replicatedJobs": [job]}}}
    address = {"name": ADDRESS_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return {
        "apiVersion": "/".join(API),
        "kind": "TrainJob",
        "metadata": {"name": job_of(spec), "labels": {RUN_ID_LABEL: spec.run_id}},
        "spec": {
            "runtimeRef": {"name": RUNTIME},
            **({"activeDeadlineSeconds": math.ceil(spec.timeout_s)} if spec.timeout_s else {}),
            "trainer": {
                "image": spec.image,
                "command": ["python3", "-m", "gbench.runs.kubernetes_task"],
                "env": [*({"name": name, "value": value} for name, value in env.items()), address],
                "numNodes": spec.nodes,
                "numProcPerNode": spec.devices_per_node,
                **({"resourcesPerNode": gpus} if gpus else {}),
            },
            "runtimePatches": [{"manager": "gbench.org/launch", "trainingRuntimeSpec": patch}],
        },
    }


def reader_pod(spec: RunSpec) -> dict[str, Any]:
    """A pod without a GPU that waits, so that the run folder can be read from the claim."""
    container = {
        "name": NODE,
        "image": spec.image,
        "command": ["sleep", str(READER_S)],
        "env": [{"name": name, "value": value} for name, value in _HOME.items()],
        "volumeMounts": _mounts(),
        "securityContext": _security(read_only=True),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{job_of(spec)}-files", "labels": {RUN_ID_LABEL: spec.run_id}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": READER_S,
            "automountServiceAccountToken": False,
            "securityContext": _pod_security(),
            "volumes": _volumes(spec),
            "containers": [container],
        },
    }


_HOME = {"HOME": "/tmp", "USER": "gbench", "LOGNAME": "gbench"}  # nosec B108  # the uid has no home in the image


def _volumes(spec: RunSpec) -> list[dict[str, Any]]:
    assert spec.kubernetes is not None, "kubernetes_config"
    return [
        {"name": "claim", "persistentVolumeClaim": {"claimName": spec.kubernetes.claim}},
        {"name": "own", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(SHM_BYTES)}},
    ]


def _mounts() -> list[dict[str, Any]]:
    return [
        {"name": "claim", "mountPath": DATA, "readOnly": True},
        {"name": "claim", "mountPath": CLAIM},
        {"name": "own", "mountPath": OWN},
        {"name": "tmp", "mountPath": "/tmp"},  # nosec B108  # the pod's own
        {"name": "shm", "mountPath": "/dev/shm"},  # nosec B108
    ]


def _pod_security() -> dict[str, Any]:
    """The pod runs as the caller, to whom the run's files belong, but never as root."""
    uid, gid = os.getuid() or 1000, os.getgid() or 1000
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": gid,
        "fsGroup": gid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _security(read_only: bool) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only,
    }
