"""RunSpec: one frozen, fully resolved description of a run.

The host resolves it once (`resolve.py`) and writes it as `spec.json` into the run folder; everything after that, the
worker included, reads only this. `ModelConfig` is the part that comes from `configs/MODEL.yaml`; its defaults are those
of upstream pix2pix (junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, `options/`): a YAML says only what differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from gbench.settings.literals import AlarmKind, DataSource, Device, Precision, Recipe, RunnerName, SpeedProfile
from gbench.settings.request import VARIABLE_FIELDS


class Frozen(BaseModel):
    """Base of every settings class: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(Frozen):
    """Generator and discriminator, in upstream's terms (`models/networks.py`)."""

    netG: Literal["resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128"] = "unet_256"
    netD: Literal["basic", "n_layers", "pixel"] = "basic"
    ngf: PositiveInt = 64
    ndf: PositiveInt = 64
    n_layers_D: PositiveInt = 3
    norm: Literal["batch", "instance", "none"] = "batch"
    dropout: bool = True
    init_type: Literal["normal", "xavier", "kaiming", "orthogonal"] = "normal"
    init_gain: PositiveFloat = 0.02


class OptimConfig(Frozen):
    """Losses, Adam and the learning-rate schedule (upstream `models/pix2pix_model.py`, `options/train_options.py`)."""

    gan_mode: Literal["vanilla", "lsgan", "wgangp"] = "vanilla"
    lambda_L1: NonNegativeFloat = 100.0
    lr: PositiveFloat = 2e-4
    beta1: float = Field(0.5, ge=0.0, lt=1.0)
    beta2: float = Field(0.999, ge=0.0, lt=1.0)
    lr_policy: Literal["linear", "step", "plateau", "cosine"] = "linear"
    lr_decay_iters: PositiveInt = 50  # epochs between decays of the `step` policy


class DataConfig(Frozen):
    """How a pair becomes a sample (upstream `data/base_dataset.py`, `data/aligned_dataset.py`)."""

    phase: Literal["train", "val", "test"] = "train"
    direction: Literal["AtoB", "BtoA"] = "BtoA"
    preprocess: Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"] = "resize_and_crop"
    load_size: PositiveInt = 286
    crop_size: PositiveInt = 256
    flip: bool = True
    shuffle: bool = True
    max_dataset_size: PositiveInt | None = None
    workers: NonNegativeInt = 4  # loader processes a rank, of source real; 0 loads in the training process
    source: DataSource = "real"  # real decodes every picture anew, as upstream; the others: docs/data.md

    @property
    def uses_cache(self) -> bool:
        """Whether pictures come from a cache of decoded ones."""
        return self.source in ("cached", "resident")


class ScheduleConfig(Frozen):
    """How long a run trains and what it keeps."""

    epochs: PositiveInt = 100  # at the initial learning rate
    epochs_decay: NonNegativeInt = 100  # in which a linear policy takes it to zero
    max_steps: PositiveInt | None = None  # optimisation steps; ends the run before the epochs do, or repeats epochs
    warmup_steps: NonNegativeInt = 0  # the least number of first steps to leave out of the statistics
    max_warmup_steps: PositiveInt | None = None  # the most; a run that settles later is not steady. None: half of it
    until_ci: float | None = Field(None, gt=0, lt=1)  # run until the 95 % interval's half-width is this share
    max_time_s: PositiveFloat | None = None  # seconds of training after which no further step is begun
    drop_last: bool = False  # leave out an epoch's incomplete last batch, so that every step does the same work
    print_every: PositiveInt = 100  # steps between log lines
    checkpoint_every: NonNegativeInt = 0  # epochs between checkpoints; 0 writes none
    checkpoint_keep: PositiveInt = 3  # checkpoints kept, the latest ones; the best generator is kept beside them
    images_every: NonNegativeInt = 0  # epochs between sample images, as upstream writes them; 0 writes none


class MeasureConfig(Frozen):
    """How a run is measured."""

    peak_seconds: NonNegativeFloat = 1.5  # before the training, to measure what the device can do; 0: not measured
    telemetry_hz: float = Field(10.0, ge=0, le=100)  # samples a second of devices and host beside the run; 0: none
    idle_seconds: NonNegativeFloat = 3.0  # for which devices whose energy can be read are left idle before the run
    pin: bool = True  # each rank on cores of its own; with a GPU, on those of the GPU's NUMA node


class SpeedConfig(Frozen):
    """Switches that make a step faster and leave precision and meaning as they are, all off by default: upstream's
    layout and kernels. What each does, where it can act, and which pay: docs/profiles.md."""

    channels_last: bool = False  # weights and feature maps in memory as NHWC
    adam: Literal["default", "foreach", "fused"] = "default"  # Adam's implementation; default: torch's own choice
    compile: Literal["none", "blocks", "networks"] = "none"  # torch.compile of the residual blocks, or of G and D whole
    cuda_graph: bool = False  # a training step captured once and replayed
    gradient_as_bucket_view: bool = False  # DistributedDataParallel's; several devices
    static_graph: bool = False  # likewise
    threads: int | None = Field(None, ge=1, le=1024)  # of a process on a processor; None: its share of the cores

    @property
    def on(self) -> dict[str, Any]:
        """The switches that are on."""
        return self.model_dump(exclude_defaults=True)


class AlarmConfig(Frozen):
    """What a convergence run is watched for, by means over whole epochs (`pix2pix/alarm_rules.py`)."""

    collapse_below: NonNegativeFloat = 0.01  # D has collapsed when the means of D_real and D_fake are both below this
    collapse_epochs: PositiveInt = 5  # over so many epochs
    flat_below: float = Field(0.01, ge=0, lt=1)  # G_L1 is flat when it surely fell by less than this share
    flat_epochs: int = Field(20, ge=4)  # from the first half of so many epochs to the second
    flat_until: float = Field(0.25, ge=0, le=1)  # within this first share of the run: later on it may level off
    stop_on: tuple[AlarmKind, ...] = ()  # alarms that end the run


class ModelConfig(Frozen):
    """What `configs/MODEL.yaml` says, with one recipe already applied."""

    description: str = ""
    network: NetworkConfig = NetworkConfig()
    optim: OptimConfig = OptimConfig()
    data: DataConfig = DataConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    measure: MeasureConfig = MeasureConfig()
    speed: SpeedConfig = SpeedConfig()
    alarms: AlarmConfig = AlarmConfig()


class EvaluationConfig(Frozen):
    """What an evaluation puts through the generator, and how. Paths are the host's."""

    checkpoint: str
    epoch: PositiveInt | None = None  # after which it was saved, where the host knows
    run_id: str | None = None  # of the training
    out: str  # folder of the results
    eval_mode: bool = False  # dropout off, running statistics; otherwise dropout on, batch statistics, as upstream
    lpips_weights: str | None = None
    fid_weights: str | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """The files that it reads, by the name under which a container finds them."""
        files = {"checkpoint": self.checkpoint, "lpips_weights": self.lpips_weights, "fid_weights": self.fid_weights}
        return {name: path for name, path in files.items() if path is not None}


class ProfileConfig(Frozen):
    """What of a run is profiled: so many steps, after the warm-up of its schedule."""

    steps: PositiveInt


class TuningConfig(Frozen):
    """How `gbench tune` tries the switches."""

    max_time_s: PositiveFloat = 120.0  # of timed steps over all trials


class TunedBy(Frozen):
    """The tuning that a run's switches come from. torch_version: which it ran with."""

    run_id: str
    utc: str
    torch_version: str
    ratio: PositiveFloat | None  # reference's step time over that with the switches; None: nothing paid


class RunSpec(Frozen):
    """Everything that decides what a run does. Paths are the host's."""

    spec_version: Literal[1] = 1
    run_id: str
    model: str
    record_name: str  # CNDB's name of the model
    framework: str
    recipe: Recipe | Literal["evaluation", "profile", "tuning"]
    batch_size: PositiveInt  # total over all devices
    device_count: PositiveInt  # devices a node
    nodes: Literal[1] = 1
    precision: Precision
    device: Device
    runner: RunnerName
    database: str | None
    ignore_check: bool
    seed: NonNegativeInt
    deterministic: bool
    timeout_s: PositiveFloat | None
    config: ModelConfig

    image: str  # CONT: image name, to which the runner adds a hash of its sources
    dockerfile: str  # DOCKERFILE
    from_image: str | None  # base image, in place of the Dockerfile's own
    dataset: str  # DATASETS
    datasets_dir: str  # DATASETS_DIR: mounted at /data
    dataset_subdir: str  # the dataset below it: "" or its name
    cndb_dir: str  # CNDB_DIR
    code_link: str  # CODE_LINK
    run_model_file: str  # RUN_MODEL_FILE
    config_dir: str  # CONFIG
    results_dir: str
    logs_dir: str
    command_line: str
    cache_dir: str = ""  # where decoded pairs are kept from run to run
    cache_limit_gib: NonNegativeFloat = 4.0  # what they may take there together
    env: dict[str, str] = Field(default_factory=dict)  # variables of the run script beside its own, from --env
    cuda_visible_devices: str | None = None  # CUDA_VISIBLE_DEVICES, where it decides which GPUs run: locally
    omp_num_threads: PositiveInt | None = None  # OMP_NUM_THREADS, where the user has set it: threads of each rank
    profile: SpeedProfile = "reference"  # custom: switches of `speed` that the user chose
    tuned_by: TunedBy | None = None  # where the switches of profile optimized come from
    evaluation: EvaluationConfig | None = None  # set: nothing is trained, a checkpoint is evaluated
    profiling: ProfileConfig | None = None  # set: the last steps are profiled, and nothing is measured
    tuning: TuningConfig | None = None  # set: no run, but trials of the switches of `speed`

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return Path(self.evaluation.out) if self.evaluation else Path(self.results_dir) / self.run_id

    @property
    def variables(self) -> dict[str, str]:
        """launch.sh's eight variables, with the values that this run resolved them to."""
        return {variable: getattr(self, field) for variable, field in VARIABLE_FIELDS.items()}

    @property
    def world_size(self) -> int:
        """Processes over all nodes, one a device."""
        return self.nodes * self.device_count

    @property
    def batch_per_device(self) -> int:
        """Samples a device takes each step."""
        return self.batch_size // self.world_size
