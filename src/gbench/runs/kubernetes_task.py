"""The task of a pod of a TrainJob, a node of its run: `python3 -m gbench.runs.kubernetes_task`.

It makes the run folder on the claim, finds and hashes the dataset there, and runs the run script: all from variables of
the pod. Kubeflow Trainer says which node this is (PET_NODE_RANK), and where the nodes meet (PET_MASTER_ADDR, a name
that the cluster's DNS may not know yet as node 0 starts, so node 0 takes its own address; PET_MASTER_PORT).
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from gbench.base.files import make_folder, write_atomically
from gbench.base.paths import make_cache_folder, project_file
from gbench.errors import GbenchError
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.node_facts import read_node
from gbench.runfolder.worker_exit import report_failure
from gbench.runners.kubernetes_manifest import ADDRESS_VARIABLE, SCRIPT_VARIABLE, SPEC_VARIABLE
from gbench.runners.plan import ANYWHERE, places_here, script_environment
from gbench.runs.node_task import note_end, run_on_node
from gbench.runs.prepare import dataset_facts, locate_dataset
from gbench.runs.rendezvous import joined
from gbench.settings.spec import RunSpec

STOPPED = 128 + signal.SIGTERM


def main() -> int:
    """Returns the run script's exit code, or 128 + signal if one ended it."""
    spec = RunSpec.model_validate_json(os.environ[SPEC_VARIABLE]).replaced(config_dir=str(project_file("configs")))
    number = int(os.environ.get("PET_NODE_RANK", "0"))
    folder = RunFolder(spec.run_dir)
    if number == 0 and read_node(folder).attempts:
        print("gbench: this pod was started again after a failure; what the run has measured is kept", flush=True)
        return 1
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(STOPPED))  # nobody else gets the signal
    try:
        spec = locate_dataset(spec)
        make_folder(spec.run_dir.parent)
        RunFolder.create(spec, overwrite=True)
        if spec.config.data.uses_cache:
            make_cache_folder(Path(spec.cache_dir))
        write_atomically(Path(spec.run_model_file), os.environ[SCRIPT_VARIABLE])
        dataset, warnings = dataset_facts(spec) if number == 0 else (None, [])
        for warning in warnings:
            print(f"warning: {warning}", flush=True)
        places = places_here(spec, folder.path)
        shown = spec.replaced(rdzv=ANYWHERE) if spec.nodes > 1 else spec
        os.environ.update(script_environment(shown, places, None))
        os.chdir(folder.path)
        here = spec.replaced(node_rank=number, rdzv=endpoint(os.environ, number) if spec.nodes > 1 else None)
        code = run_on_node(here, folder, ["bash", spec.run_model_file], dataset=dataset)
    except GbenchError as error:
        return report_failure(folder, error)
    if number == 0:
        note_end(folder, saved=False)
    return code if code >= 0 else 128 - code


def endpoint(environ: Mapping[str, str], number: int) -> str:
    """Where the nodes meet."""
    address = environ["PET_MASTER_ADDR"] if number else environ[ADDRESS_VARIABLE]
    return joined(address, int(environ["PET_MASTER_PORT"]))


if __name__ == "__main__":
    sys.exit(main())
