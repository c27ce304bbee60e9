"""`gbench check --fleet`: probe all nodes of a fleet, as a run on several nodes that trains nothing.

With the docker and the local runner it is started on every node, and each gets the measurements; with the slurm
runner it is a job.
"""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from gbench.base.files import make_folder
from gbench.base.paths import project_file
from gbench.errors import GbenchError, InfrastructureError
from gbench.machine.gpus import find_gpus, visible, with_full_uuids
from gbench.runfolder.fleet_times import FLEET, FleetTimes
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import DatasetFacts
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import Observer, begin, note_start, run_worker
from gbench.runs.meeting import Meeting, agree
from gbench.runs.node_differences import MUST_AGREE
from gbench.runs.prepare import Prepared, make_runner
from gbench.runs.several_hosts import as_node
from gbench.settings.model_config import SpeedConfig
from gbench.settings.spec import RunSpec

HOME = "fleet"  # in the folder of results
OF_A_NODE = re.compile(r"--(?:gpus-per-node|gres)[= ](?:gpu:)?(?:\w+:)?(\d+)$")  # options of sbatch


def probe_fleet(spec: RunSpec, environ: Mapping[str, str], observer: Observer) -> FleetTimes:
    """The measurements of all nodes; spec: of a run with one device a node.

    Raises GbenchError: a node did not come, was lost or failed, or the job failed.
    """
    home = Path(spec.results_dir) / HOME
    make_folder(home)
    with stoppable(None):
        if spec.slurm is not None:
            given = [match[1] for option in spec.slurm.sbatch if (match := OF_A_NODE.search(option))]
            spec = spec.replaced(slurm=spec.slurm.model_copy(update={"allow": MUST_AGREE}))
            return _times_in(_run(_spec_of_probe(spec, home, int(given[-1]) if given else 1), environ, observer))
        with Meeting(spec, observer.line) as meeting:
            spec = as_node(meeting, _spec_of_probe(spec, home, _same_devices(meeting, spec)), environ)
            agree(meeting, spec)
            folder = _run(spec, environ, observer, meeting)
            if meeting.number:
                return FleetTimes(**meeting.wait_for("fleet"))
            hosts = [node.host.partition(".")[0] for node in meeting.nodes]  # a container does not know its host
            times = _times_in(folder).changed(hosts=hosts)
            meeting.publish("fleet", times.values())
            return times


def _same_devices(meeting: Meeting, spec: RunSpec) -> int:
    """Devices of each node. Raises InfrastructureError: it has none, or another one has more or fewer."""
    own = 1
    if spec.device == "cuda":
        gpus = visible(find_gpus(), spec.cuda_visible_devices)
        if gpus.missing:
            raise InfrastructureError(f"--device cuda: no GPU was found ({gpus.missing})", "or give --device cpu")
        own = len(gpus.devices)
    counts = meeting.exchange("devices", own)
    for node, other in enumerate(counts):
        if other != counts[0]:
            raise InfrastructureError(
                f"{meeting.name(node)} has {other} GPUs, and {meeting.name(0)} has {counts[0]}",
                "see nvidia-smi -L there, or choose as many on each with --gpus",
            )
    return own


def _spec_of_probe(spec: RunSpec, home: Path, devices: int) -> RunSpec:
    """The spec of the probe, in a folder of `home`. devices: of each node."""
    return spec.replaced(
        run_id=f"{spec.run_id}-fleet",
        recipe="fleet",
        device_count=spec.nodes * devices,
        batch_size=spec.nodes * devices,
        ignore_check=True,  # what is wrong with a node shows in its figures
        run_model_file=str(project_file("scripts/pt-pix2pix.sh")),
        results_dir=str(home),
        datasets_dir=str(home),
        dataset_subdir="",
        config={"speed": SpeedConfig(), "data": {"source": "real"}},
    )


def _run(spec: RunSpec, environ: Mapping[str, str], observer: Observer, meeting: Meeting | None = None) -> RunFolder:
    """Run this node's part, or the job; returns its folder.

    Raises GbenchError: of this node, or of the one that is at fault.
    """
    gpus = find_gpus()
    spec = spec if spec.runner == "slurm" else with_full_uuids(spec, gpus)
    prepared = Prepared(spec, gpus, make_runner(spec, environ, rebuild=False), DatasetFacts(), (), None)
    with begin(prepared, observer) as run:
        if meeting is not None:
            meeting.exchange("ready", True)  # an image may take minutes
        note_start(run)
        try:
            with ExitStack() as stack:
                if meeting is not None:
                    stack.enter_context(meeting.watched())
                run_worker(run, observer.running(run.folder))
        except GbenchError as error:
            if meeting is None:
                raise
            cause = meeting.cause(error)
            meeting.tell(cause)
            raise cause from error
        return run.folder


def _times_in(folder: RunFolder) -> FleetTimes:
    """Raises InfrastructureError: there are none, or the file is broken."""
    times = folder.read_as(FLEET, FleetTimes, "probe the fleet again")
    if times is None:
        raise InfrastructureError(f"the probe left no {FLEET} in {folder.path}", f"read {folder.log}")
    return times
