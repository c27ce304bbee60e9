"""The `docker` runner: the run script in its own container, which is removed however the run ends.

`container_request` builds the whole request without the engine; `DockerRunner.run` submits it.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gbench.base.user_key import keyed_hash
from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.machine.gpus import MIG, find_gpus, visible
from gbench.machine.host import cpu_name
from gbench.runners.containers import IMAGE_LABEL, OWNER_LABEL, RUN_ID_LABEL, Owner, clear_away, sweep_orphans
from gbench.runners.docker_errors import engine_errors
from gbench.runners.engine import CDI_KIND, answering, cdi_gpus, connect, engine_info, gpu_support
from gbench.runners.image import base_digests, digests_of, ensure_image, plan_image
from gbench.runners.log_failures import known_log_failure
from gbench.runners.plan import SHM_BYTES, Outcome, Places, script_environment
from gbench.runners.sbom import sbom_of
from gbench.settings.spec import RunSpec

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

INSIDE = Places(
    run_dir="/gbench/run",
    datasets_dir="/data",
    config_dir="/gbench/configs",
    run_script="/gbench/run_model.sh",
    python="python3",
    cache_dir="/gbench/cache",
    inputs_dir="/gbench/inputs",
)
TMP = "/tmp"  # the container's own  # nosec B108
TMP_OPTIONS = "rw,exec,nosuid,nodev,mode=1777"  # exec: torch.compile and Triton load what they compile there
STACK_BYTES = 67_108_864  # 64 MiB, as launch.sh


@dataclass(frozen=True)
class Caller:
    """The user and process that start the run. The container runs as this user, who then owns the run's files."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    cores: int
    owner: Owner

    @classmethod
    def current(cls) -> "Caller":
        return cls(os.getuid(), os.getgid(), tuple(sorted(os.getgroups())), os.cpu_count() or 1, Owner.current())


def container_request(
    spec: RunSpec, image: str, image_name: str, run_dir: Path, caller: Caller, cdi: Sequence[str] = ()
) -> dict[str, Any]:
    """The whole container, as keyword arguments of docker-py's `containers.create`.

    Args:
        image: what to run, an id or a name.
        image_name: its name, for a label.
        cdi: names of the engine's GPUs, if it passes them as CDI devices only.
    """
    from docker.types import Mount, Ulimit

    gpus = device_requests(spec, cdi)
    ulimits = [Ulimit(name="stack", soft=STACK_BYTES, hard=STACK_BYTES)]
    if gpus:  # transfers to a GPU use locked memory; without a GPU it is not needed, and not every engine may set it
        ulimits.append(Ulimit(name="memlock", soft=-1, hard=-1))
    environment = script_environment(spec, INSIDE, caller.cores)
    if spec.compiles:
        environment = compile_caches(image_name, spec.cache_dir) | environment
    # The caller's uid has no home and no name in the image; PyTorch needs both.
    environment |= {"HOME": TMP, "USER": "gbench", "LOGNAME": "gbench"}
    return {
        "image": image,
        "command": ["bash", INSIDE.run_script],
        "name": f"gbench-{spec.run_id}",
        "labels": {RUN_ID_LABEL: spec.run_id, OWNER_LABEL: caller.owner.to_label(), IMAGE_LABEL: image_name},
        "user": f"{caller.uid}:{caller.gid}",
        "group_add": [str(group) for group in caller.groups],
        "environment": environment,
        "working_dir": INSIDE.run_dir,
        "mounts": [
            Mount(inside, outside, type="bind", read_only=read_only)
            for inside, outside, read_only in container_mounts(spec, run_dir)
        ],
        "device_requests": gpus,
        "ulimits": ulimits,
        "init": True,  # reaps the loader processes, and passes SIGTERM on
        **isolation(spec, caller),
    }


def isolation(spec: RunSpec, caller: Caller) -> dict[str, Any]:
    """What separates the container from the host, as keyword arguments of `containers.create`."""
    script_of_the_project = spec.recipe != "custom"
    return {
        "network_mode": "host" if spec.nodes > 1 else spec.network,
        "ipc_mode": "private",
        "shm_size": SHM_BYTES,
        "cap_drop": ["ALL"],
        "cap_add": ["DAC_OVERRIDE"] if caller.uid == 0 else [],  # root reads files of others, in here as on the host
        # label=disable: with SELinux, the mounts would need other labels (`:z`), on the whole dataset
        "security_opt": ["no-new-privileges", "label=disable"],
        **({"read_only": True, "tmpfs": {TMP: TMP_OPTIONS}} if script_of_the_project else {}),
    }


def container_mounts(spec: RunSpec, run_dir: Path) -> list[tuple[str, str, bool]]:
    """What a container sees of the host: the path in the container, that on the host, whether it is read-only."""
    uses_cache = spec.config.data.uses_cache or spec.compiles  # for decoded images, or for compiled code
    inputs = spec.evaluation.inputs if spec.evaluation else {}
    return [
        (INSIDE.datasets_dir, spec.datasets_dir, True),
        (INSIDE.config_dir, spec.config_dir, True),
        (INSIDE.run_script, spec.run_model_file, True),
        (INSIDE.run_dir, str(run_dir), False),
        *([(INSIDE.cache_dir, spec.cache_dir, False)] if uses_cache else []),
        *((f"{INSIDE.inputs_dir}/{name}", path, True) for name, path in inputs.items()),
    ]


def compile_caches(image_name: str, cache_dir: str) -> dict[str, str]:
    """Variables that keep compiled code across runs: apart for each image and CPU, for which it was compiled.

    PyTorch runs what it finds there, so the folder's name is one that only this user's gbench knows; no key, no folder.
    """
    try:
        name = keyed_hash(f"{cache_dir} {image_name} {cpu_name()}")[:16]
    except (OSError, GbenchError):
        return {}
    folder = f"{INSIDE.cache_dir}/compiled/{name}"
    return {"TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor", "TRITON_CACHE_DIR": f"{folder}/triton"}


def device_requests(spec: RunSpec, cdi: Sequence[str]) -> list[dict[str, Any]]:
    """The GPUs of the container: the run's own, by index or UUID, or by the engine's CDI names."""
    from docker.types import DeviceRequest

    if spec.device != "cuda":
        return []
    chosen = spec.cuda_visible_devices
    listed = map(str, range(spec.devices_per_node)) if chosen is None else map(str.strip, chosen.split(","))
    ids = list(listed)[: spec.devices_per_node]
    if not cdi:
        return [DeviceRequest(device_ids=ids, capabilities=[["gpu"]])]
    return [DeviceRequest(driver="cdi", device_ids=_cdi_names(ids, cdi))]


def _cdi_names(ids: Sequence[str], cdi: Sequence[str]) -> list[str]:
    """The engine's CDI names of GPUs: as the run names them, by UUID or by index; or one name for all of the host.

    Raises InfrastructureError: it lists none for a GPU.
    """
    gpus, names = find_gpus(), []
    for one in ids:
        shown = visible(gpus, one).devices
        words = [one, *(gpu.uuid for gpu in shown), *(f"{kind}{gpu.index}" for gpu in shown for kind in ("", "gpu"))]
        if one.startswith(MIG):
            words = [one]  # the other names are of the whole GPU
        names += [name for word in words if (name := f"{CDI_KIND}{word}") in cdi][:1]
    if len(names) == len(ids):
        return names
    if (everything := f"{CDI_KIND}all") in cdi and len(ids) == len(gpus.devices):
        return [everything]
    raise InfrastructureError(
        f"Docker lists no CDI device for each of the GPUs {', '.join(ids)}, but {', '.join(cdi)}",
        "choose among those with --gpus, or regenerate the CDI file: sudo nvidia-ctk cdi generate "
        "--device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml",
    )


class DockerRunner:
    """Runs in a container of the image that is built from CONT, DOCKERFILE and the project's sources.

    `describe` works without an engine; `prepare` needs it.
    """

    def __init__(self, spec: RunSpec, rebuild: bool = False) -> None:
        self._spec, self._rebuild = spec, rebuild
        self._plan = plan_image(spec.image, Path(spec.dockerfile), spec.from_image)
        if rebuild and self._plan.pinned:
            raise UsageError(f"--rebuild has no effect on the pinned image {spec.image}", "leave one of the two out")
        self._client: docker.DockerClient | None = None
        self._image: Image | None = None
        self._cdi: list[str] = []

    def describe(self) -> dict[str, Any]:
        """What `run` would create, and what `prepare` would build it from."""
        spec, plan = self._spec, self._plan
        if spec.device == "cuda":
            with suppress(InfrastructureError):  # without an engine, describe the request for the usual one
                self._find_gpus(connect())
        return {
            "image": plan.name,
            "build": None if plan.pinned else {"dockerfile": spec.dockerfile, "args": plan.build_args},
            "container": container_request(spec, plan.name, plan.name, spec.run_dir, Caller.current(), self._cdi),
        }

    def with_spec(self, spec: RunSpec) -> "DockerRunner":
        """For another spec; see `Runner.with_spec`."""
        other = copy(self)
        other._spec = spec
        return other

    def prepare(self, on_line: Callable[[str], None]) -> None:
        """Remove the containers of dead runs, and build or pull the image; see `Runner.prepare`."""
        self._client = connect()
        with engine_errors("remove the containers of dead runs"):
            for name in sweep_orphans(self._client):
                on_line(f"removed {name}: the gbench that started it is dead")
            self._find_gpus(self._client)
        self._image = ensure_image(self._client, self._plan, self._rebuild, Path(self._spec.cache_dir), on_line)

    def facts(self) -> dict[str, Any]:
        """The image, by name, id and digests, its base, and the engine."""
        client, image = self._prepared()
        with engine_errors("describe itself"):
            engine = client.version()["Version"]
        digests = base_digests(client, image)
        return {
            "runner": "docker",
            "image": self._plan.name,
            "image_id": image.id,
            "image_digests": digests_of(image),
            "base_image": self._plan.base,
            "base_digests": digests,
            "docker_version": engine,
        }

    def sbom(self) -> str:
        """The image's bill of materials; see `sbom_of`."""
        return sbom_of(*self._prepared(), self._plan.name)

    def run(self, run_dir: Path, on_line: Callable[[str], None]) -> Outcome:
        """Run the script in a container to its end; see `Runner.run`.

        Raises InfrastructureError: Docker could not start it, or the machine failed (shared memory, disk).
        """
        client, image = self._prepared()
        # by id: the name may be moved to another image meanwhile
        request = container_request(self._spec, str(image.id), self._plan.name, run_dir, Caller.current(), self._cdi)
        failure: tuple[str, str] | None = None
        try:
            with engine_errors("run the container"), answering("run the container"):
                container = client.containers.create(**request)
                output = container.attach(stdout=True, stderr=True, stream=True, demux=True)
                container.start()
                for line in split_lines(output):
                    failure = failure or known_log_failure(line)
                    on_line(line)
                container.wait()
                container.reload()
        finally:
            if not clear_away(client, self._spec.run_id):
                on_line(f"{request['name']} could not be removed; the next start removes it")
        state = container.attrs["State"]
        if failure and state["ExitCode"]:
            reason, hint = failure
            raise InfrastructureError(f"the run script ended with exit code {state['ExitCode']}: {reason}", hint)
        return Outcome(state["ExitCode"], out_of_memory=bool(state["ExitCode"] and state["OOMKilled"]))

    def _find_gpus(self, client: "docker.DockerClient") -> None:
        info = engine_info(client)
        self._cdi = cdi_gpus(info) if gpu_support(info) == "CDI" else []

    def _prepared(self) -> "tuple[docker.DockerClient, Image]":
        assert self._client and self._image, "prepare() comes first"
        return self._client, self._image


def split_lines(chunks: Iterator[tuple[bytes | None, bytes | None]]) -> Iterator[str]:
    """Whole lines from (stdout, stderr) chunks; a line of one stream is never split by the other."""
    rest = [b"", b""]
    for chunk in chunks:
        for stream, data in enumerate(chunk):
            *lines, rest[stream] = (rest[stream] + (data or b"")).split(b"\n")
            yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
    yield from (line.decode(errors="replace") for line in rest if line)
