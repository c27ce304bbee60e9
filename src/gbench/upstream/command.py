"""A spec as the arguments of upstream's train.py (options/ and models/pix2pix_model.py at 003efc4c)."""

from pathlib import Path

from gbench.datasets.layout import phase_images
from gbench.errors import UsageError
from gbench.settings.spec import RunSpec
from gbench.settings.switches import written

NEVER = str(2**31 - 1)  # interval in steps or epochs that disables a periodic action
# settings with the same name as upstream's option
OF_NETWORK = ("netG", "netD", "ngf", "ndf", "n_layers_D", "norm", "init_type", "init_gain")
OF_OPTIM = ("gan_mode", "lambda_L1", "lr", "beta1", "lr_policy", "lr_decay_iters")
OF_DATA = ("phase", "direction", "preprocess", "load_size", "crop_size")
FEWEST_STEPS = 2  # the first line gives no step time, as the start of the step is unknown
UPSTREAM_BETA2 = 0.999  # a constant of models/pix2pix_model.py


def require_known(spec: RunSpec) -> None:
    """Raises UsageError: the spec has a setting that upstream lacks; names the first."""
    config = spec.config
    optimized = f"--profile {spec.profile}" if spec.profile == "optimized" else written(config.speed.on)
    cases = (
        (spec.precision in ("AMP", "BF16"), f"PRECISION {spec.precision}", "FP32 or TF32"),
        (spec.deterministic, "--deterministic", "a run without it"),
        (spec.profile != "reference", optimized, "a run without it, of profile reference"),
        (config.data.source != "real", f"--data {config.data.source}", "--data real"),
        (config.schedule.until_ci is not None, "--until-ci", "--steps"),
        (config.schedule.max_time_s is not None, "--max-time", "--steps"),
        (config.optim.beta2 != UPSTREAM_BETA2, f"optim.beta2 {config.optim.beta2}", f"{UPSTREAM_BETA2}"),
        (spec.nodes > 1, f"--nodes {spec.nodes}", "--nodes 1"),
        (spec.device == "cpu" and spec.device_count > 1, "several processes on a CPU", "DEVICE_COUNT 1"),
    )
    for unsupported, what, instead in cases:
        if unsupported:
            raise UsageError(f"{what}: upstream's train.py has no such mode", f"take {instead}")
    if config.schedule.max_steps is None or config.schedule.max_steps < FEWEST_STEPS:
        raise UsageError(
            f"upstream's train.py needs a number of steps here, at least {FEWEST_STEPS}",
            "give --steps, e.g. --steps 60",
        )


def arguments(spec: RunSpec, data_dir: Path, run_dir: Path) -> list[str]:
    """The arguments of train.py: epochs of whole batches, a log line per step, nothing saved or shown.

    Raises:
        UsageError: the dataset doesn't fill one batch, or the schedule ends before the steps.
        InfrastructureError: the dataset lacks the phase, or images in it.
    """
    network, optim, data, schedule = spec.config.network, spec.config.optim, spec.config.data, spec.config.schedule
    images = len(phase_images(data_dir, data.phase)[: data.max_dataset_size])
    batches = images // spec.batch_size
    if not batches:
        raise UsageError(
            f"{data_dir / data.phase} gives {images} images, fewer than one batch of {spec.batch_size}",
            "take a smaller BATCH_SIZE, or a larger dataset",
        )
    assert schedule.max_steps is not None, "require_known"
    epochs, planned = -(-schedule.max_steps // batches), schedule.epochs + schedule.epochs_decay
    if epochs > planned:
        raise UsageError(
            f"{schedule.max_steps} steps are {epochs} epochs of {batches}, and the schedule ends after {planned}",
            f"--set schedule.epochs={epochs}, or fewer --steps",
        )
    values: dict[str, object] = {
        "dataroot": data_dir,
        "name": "upstream",
        "checkpoints_dir": run_dir / "upstream-checkpoints",
        "model": "pix2pix",
        "dataset_mode": "aligned",
        "pool_size": 0,
        "gpu_ids": "-1" if spec.device == "cpu" else ",".join(map(str, range(spec.device_count))),
        "batch_size": spec.batch_size,
        "max_dataset_size": batches * spec.batch_size,  # whole batches: every step does the same work, as in our recipe
        "num_threads": data.workers * spec.device_count,  # ours count per rank; upstream has one process
        "n_epochs": schedule.epochs,
        "n_epochs_decay": schedule.epochs_decay,
        "print_freq": spec.batch_size,  # images: after every step
        "display_id": -1,
        **dict.fromkeys(("display_freq", "update_html_freq", "save_latest_freq", "save_epoch_freq"), NEVER),
        **{name: getattr(network, name) for name in OF_NETWORK},
        **{name: getattr(optim, name) for name in OF_OPTIM},
        **{name: getattr(data, name) for name in OF_DATA},
    }
    flags = {
        "no_html": True,
        "no_dropout": not network.dropout,
        "no_flip": not data.flip,
        "serial_batches": not data.shuffle,
    }
    words = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return [*words, *(f"--{name}" for name, given in flags.items() if given)]
