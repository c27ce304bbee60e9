"""What is wrong with a spec on any machine: values that contradict each other, and missing files."""

import re
import shlex
from pathlib import Path

from gbench.base.files import open_file
from gbench.errors import UsageError, without_password
from gbench.settings.launch_sh_files import require_for_gbench
from gbench.settings.model_config import DataConfig, NetworkConfig
from gbench.settings.quantities import problem_of_variable
from gbench.settings.spec import RunSpec
from gbench.settings.switches import why_not

COMMIT_ID = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{7,64}(?![0-9a-zA-Z])")
LARGEST_SIDE = 9459  # pixels: a square of Pillow's limit, 89,478,485 of them


def check_spec(spec: RunSpec) -> None:
    """Raises UsageError: the spec contradicts itself, or names a file that is not there."""
    _check_nodes(spec)
    _check_batch(spec)
    if why := why_not(spec, spec.config.speed):
        raise UsageError(*why)
    if spec.precision == "TF32" and spec.device == "cpu":
        raise UsageError(
            "PRECISION TF32 does not exist on --device cpu", "take FP32, or a GPU of compute capability 8.0 or more"
        )
    if spec.device == "cpu" and spec.cuda_visible_devices is not None:
        raise UsageError("--gpus has no effect on --device cpu", "leave one of the two out")
    if spec.network == "host" and spec.runner != "docker":
        raise UsageError(f"--network host has no effect with --runner {spec.runner}", "leave one of the two out")
    if spec.runner == "slurm" and ("\\" in str(spec.run_dir) or not str(spec.run_dir).isprintable()):
        raise UsageError(
            f"--runner slurm can't take the run folder {str(spec.run_dir)!r}: it has a backslash or a line break, "
            "which no line of sbatch holds",
            "take another --results",
        )
    _check_files(spec)
    for name, value in spec.env.items():
        if problem := problem_of_variable(name, value):
            raise UsageError(f"--env {name!r} {problem}", "give it another one, or leave it out")
    check_schedule(spec)
    _check_convergence(spec)
    _check_image_size(spec.config.data, spec.config.network)


def _check_nodes(spec: RunSpec) -> None:
    given = [name for name, value in (("--rdzv", spec.rdzv), ("--node-rank", spec.node_rank)) if value is not None]
    if given and spec.on_cluster:
        raise UsageError(
            f"{given[0]} has no effect with --runner {spec.runner}: a job's nodes find each other", "leave it out"
        )
    if spec.nodes == 1 and not spec.on_cluster:
        if given:
            raise UsageError(f"{given[0]} has no effect on one node", "leave it out, or give --nodes")
        return
    if rest := spec.device_count % spec.nodes:
        raise UsageError(
            f"DEVICE_COUNT {spec.device_count}, the total over all nodes, can't be divided evenly over {spec.nodes}",
            f"take {spec.device_count - rest + spec.nodes}, or another number of --nodes",
        )
    if spec.rdzv is None and not spec.on_cluster:
        raise UsageError(
            f"--nodes {spec.nodes} needs --rdzv HOST:PORT", "give an address of the first host, and a free port on it"
        )
    if spec.node_rank is not None and spec.node_rank >= spec.nodes:
        raise UsageError(
            f"--node-rank {spec.node_rank}: {spec.nodes} nodes have the numbers 0 to {spec.nodes - 1}",
            "fix one of the two",
        )


def _check_batch(spec: RunSpec) -> None:
    if rest := spec.batch_size % spec.world_size:
        below = spec.batch_size - rest
        fewer = f"take a DEVICE_COUNT of at most {spec.batch_size}"
        raise UsageError(
            f"BATCH_SIZE {spec.batch_size}, the total over all devices, can't be divided evenly over {spec.world_size}",
            f"take {below} or {below + spec.world_size}" if below else fewer,
        )


def _check_files(spec: RunSpec) -> None:
    if without_password(spec.code_link) != spec.code_link:
        raise UsageError(
            "CODE_LINK holds a user or password, which would be in the record",
            "leave it out, and name a clone of a private repository in UPSTREAM_DIR",
        )
    if not COMMIT_ID.search(spec.code_link):
        raise UsageError(
            f"CODE_LINK {spec.code_link!r} holds no commit id",
            "link to the code at a commit (7 to 64 hex digits), not at a branch",
        )
    for variable, path in (("RUN_MODEL_FILE", spec.run_model_file), ("DOCKERFILE", spec.dockerfile)):
        if not Path(path).is_file():
            raise UsageError(
                f"{variable} {path} is not a file", f"fix the path, or leave {variable} out for the project's own"
            )
    with open_file(Path(spec.run_model_file)) as script:
        if b"\r\n" in script.read(1 << 16):
            how = f"sed -i 's/\\r$//' {shlex.quote(spec.run_model_file)}"
            raise UsageError(
                f"RUN_MODEL_FILE {spec.run_model_file} has the line ends of Windows", f"remove them: {how}"
            )
    dockerfile = Path(spec.dockerfile) if spec.runner == "docker" else None
    require_for_gbench(Path(spec.run_model_file), dockerfile, spec.env)


def check_schedule(spec: RunSpec) -> None:
    """Raises UsageError: the schedule contradicts itself, or ends before a CUDA graph is measured."""
    schedule = spec.schedule
    if schedule.max_steps is not None and schedule.warmup_steps >= schedule.max_steps:
        raise UsageError(
            f"{schedule.warmup_steps} warm-up steps leave none of {schedule.max_steps} steps to measure",
            f"give fewer with --warmup, e.g. --warmup {schedule.max_steps // 2}, or more with --steps"
            if schedule == spec.config.schedule
            else "give more with --steps: speed.cuda_graph captures the last of them",
        )
    if schedule.max_warmup_steps is not None and schedule.max_warmup_steps < schedule.warmup_steps:
        raise UsageError(
            f"schedule.max_warmup_steps {schedule.max_warmup_steps} is below "
            f"the {schedule.warmup_steps} steps that are left out in any case",
            "raise it, or give fewer with --warmup",
        )
    if schedule.until_ci is not None and schedule.max_steps is None and schedule.max_time_s is None:
        raise UsageError("--until-ci alone might never end", "give --max-time too, e.g. --max-time 10m")


def _check_convergence(spec: RunSpec) -> None:
    stop_on = spec.config.alarms.stop_on
    if stop_on and spec.recipe != "convergence":
        raise UsageError("alarms.stop_on is for convergence runs: no other is watched", "use gbench converge")
    if "collapse" in stop_on and spec.config.optim.gan_mode == "wgangp":
        raise UsageError("the losses of gan_mode wgangp do not show whether D collapses", "take --stop-on nan,flat")
    if spec.config.data.source == "synthetic" and spec.recipe == "convergence":
        raise UsageError("--data synthetic is one batch of noise, to which nothing converges", "take another --data")


def _check_image_size(data: DataConfig, network: NetworkConfig) -> None:
    if data.preprocess not in ("crop", "none") and data.load_size > LARGEST_SIDE:
        raise UsageError(
            f"data.load_size {data.load_size} makes images larger than any that can be decoded",
            f"take at most {LARGEST_SIDE}",
        )
    if data.preprocess in ("resize_and_crop", "scale_width_and_crop") and data.crop_size > data.load_size:
        raise UsageError(
            f"data.crop_size {data.crop_size} is larger than data.load_size {data.load_size}",
            f"--set data.load_size={round(data.crop_size * 286 / 256)} keeps upstream's proportion",
        )
    if "crop" not in data.preprocess:
        return
    smallest = 3 << network.n_layers_D  # a PatchGAN of n layers halves n times and must keep one patch
    if network.netD != "pixel" and data.crop_size < smallest:
        raise UsageError(
            f"data.crop_size {data.crop_size} is too small for a discriminator of {network.n_layers_D} layers",
            f"take at least {smallest}, or --set network.netD=pixel",
        )
    multiple = {"unet_256": 256, "unet_128": 128}.get(network.netG, 4)
    if data.crop_size % multiple:
        raise UsageError(
            f"data.crop_size {data.crop_size} does not fit {network.netG}", f"take a multiple of {multiple}"
        )
