"""ModelConfig: what `configs/MODEL.yaml` says, by sections, with one recipe applied.

The defaults are those of upstream pix2pix (junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, `options/`): a YAML names
only what differs.
"""

from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from gbench.base.invalid import no_boolean
from gbench.settings.literals import AlarmKind, DataSource
from gbench.settings.quantities import MOST

Settings = TypeVar("Settings", bound="Frozen")


class Frozen(BaseModel):
    """Base of every settings class: immutable; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def replaced(self: Settings, **changes: Any) -> Settings:
        """A copy with other values, which are not validated. A mapping for a section changes only the keys it names."""
        for name, value in changes.items():
            section = getattr(self, name)
            if isinstance(section, Frozen) and isinstance(value, dict):
                changes[name] = section.replaced(**value)
        return self.model_copy(update=changes)


class Section(Frozen):
    """Base of the sections of `ModelConfig`, whose values people write: a number is finite, and no boolean."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        return value if cls.model_fields[str(info.field_name)].annotation is bool else no_boolean(value)

    @field_validator("*")
    @classmethod
    def _no_huge_number(cls, value: Any) -> Any:
        """Reject what the libraries that take it can't hold."""
        if isinstance(value, int) and abs(value) >= MOST:
            raise PydanticCustomError("too_large", "input should be less than 2147483648")
        return value


class NetworkConfig(Section):
    """Generator and discriminator, in upstream's terms (`models/networks.py`)."""

    netG: Literal["resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128"] = "unet_256"
    """Generator. The U-Nets take images whose side is a multiple of 256 or 128."""
    netD: Literal["basic", "n_layers", "pixel"] = "basic"
    """Discriminator: a PatchGAN of 3 or of n_layers_D layers, or one of single pixels."""
    ngf: PositiveInt = 64
    """Filters in the generator's last convolution layer."""
    ndf: PositiveInt = 64
    """Filters in the discriminator's first convolution layer."""
    n_layers_D: PositiveInt = 3
    """Layers of the discriminator; netD=n_layers only."""
    norm: Literal["batch", "instance", "none"] = "batch"
    dropout: bool = True
    init_type: Literal["normal", "xavier", "kaiming", "orthogonal"] = "normal"
    init_gain: PositiveFloat = 0.02
    """Scale of the initial weights; not for kaiming."""


class OptimConfig(Section):
    """Losses, Adam and the learning rate (upstream `models/pix2pix_model.py`, `options/train_options.py`)."""

    gan_mode: Literal["vanilla", "lsgan", "wgangp"] = "vanilla"
    """Adversarial loss: cross-entropy, least squares, or Wasserstein (no gradient penalty)."""
    lambda_L1: NonNegativeFloat = 100.0
    """Weight of the L1 loss next to the adversarial loss."""
    lr: PositiveFloat = 2e-4
    """Initial learning rate of Adam, for both networks."""
    beta1: float = Field(0.5, ge=0.0, lt=1.0)
    """Adam's decay of the first moment; beta2: of the second."""
    beta2: float = Field(0.999, ge=0.0, lt=1.0)
    lr_policy: Literal["linear", "step", "plateau", "cosine"] = "linear"
    """How the learning rate falls; linear: constant for `epochs`, then to zero over `epochs_decay`."""
    lr_decay_iters: PositiveInt = 50
    """Epochs between decays; lr_policy=step only."""


class DataConfig(Section):
    """How a pair of images becomes a sample (upstream `data/base_dataset.py`, `data/aligned_dataset.py`)."""

    phase: Literal["train", "val", "test"] = "train"
    direction: Literal["AtoB", "BtoA"] = "BtoA"
    """Which half of a pair is the input."""
    preprocess: Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"] = "resize_and_crop"
    """How an image is brought to its size."""
    load_size: PositiveInt = 286
    """Pixels of the side, or width, after resizing; at least crop_size for resize_and_crop."""
    crop_size: PositiveInt = 256
    flip: bool = True
    """Mirror half of the pairs at random."""
    shuffle: bool = True
    max_dataset_size: PositiveInt | None = None
    """Use only the first N pairs. None: all."""
    workers: NonNegativeInt = 4
    """Loader processes per rank, for source=real; 0 loads in the training process."""
    source: DataSource = "real"
    """real decodes every image in every epoch, as upstream does; docs/data.md describes the others."""

    @property
    def uses_cache(self) -> bool:
        return self.source in ("cached", "resident")


class ScheduleConfig(Section):
    """How long a run trains and what it keeps."""

    epochs: PositiveInt = 100
    """At the initial learning rate."""
    epochs_decay: NonNegativeInt = 100
    """After them: the linear policy lowers the rate to zero."""
    max_steps: PositiveInt | None = None
    """Optimisation steps of the run: it ends before its epochs do, or repeats epochs. None: all epochs."""
    warmup_steps: NonNegativeInt = 0
    """Minimum number of first steps to exclude from the statistics."""
    max_warmup_steps: PositiveInt | None = None
    """Maximum number of them: a run that settles later is not steady. None: half of the run."""
    until_ci: float | None = Field(None, gt=0, lt=1)
    """Run until the half-width of the 95 % interval is this share of the mean; needs max_steps or max_time_s."""
    max_time_s: PositiveFloat | None = None
    """Seconds of training after which no further step starts. None: no limit."""
    drop_last: bool = False
    """Skip an epoch's incomplete last batch, so that every step does the same work."""
    print_every: PositiveInt = 100
    """Steps between log lines."""
    checkpoint_every: NonNegativeInt = 0
    """Epochs between checkpoints; 0: none."""
    checkpoint_keep: PositiveInt = 3
    """Latest checkpoints to keep; the best generator is kept as well."""
    images_every: NonNegativeInt = 0
    """Epochs between sample images, as upstream writes them; 0: none."""

    def planned_epochs(self, steps_per_epoch: int) -> int:
        """How many epochs a run sets out to do, the last one perhaps in part."""
        if self.max_steps is not None:
            return -(-self.max_steps // steps_per_epoch)
        return self.epochs + self.epochs_decay

    def planned_steps(self, steps_per_epoch: int) -> int | None:
        """How many steps a run sets out to do; None when its interval decides. `max_steps` may repeat epochs."""
        if self.max_steps is None and self.until_ci is not None:
            return None
        return self.max_steps or self.planned_epochs(steps_per_epoch) * steps_per_epoch


class MeasureConfig(Section):
    peak_seconds: NonNegativeFloat = 1.5
    """Time to measure the device's peak before the training; 0: not measured."""
    telemetry_hz: float = Field(10.0, ge=0, le=100)
    """Samples per second of devices and host during the run; 0: none."""
    idle_seconds: NonNegativeFloat = 3.0
    """Time before the run to measure the idle power of devices that report energy."""
    pin: bool = True
    """Pin each rank to its own cores; with a GPU, to cores of the GPU's NUMA node."""
    hang_seconds: NonNegativeFloat = 300.0
    """End the run if no step is done for this long, and for 50 median steps; 0: wait for ever."""


class SpeedConfig(Section):
    """Switches that make a step faster without changing precision or meaning. All off: upstream's layout and kernels.

    docs/speed-switches.md: what each does, where it applies, and which pay.
    """

    channels_last: bool = False
    """Keep weights and feature maps in memory as NHWC."""
    adam: Literal["default", "foreach", "fused"] = "default"
    """Adam's implementation; default: torch's own choice."""
    compile: Literal["none", "blocks", "networks"] = "none"
    """torch.compile of the residual blocks (ResNets only), or of both networks whole."""
    cuda_graph: bool = False
    """Capture a training step once and replay it; on GPUs, not with AMP."""
    gradient_as_bucket_view: bool = False
    """Changes nothing: gradients are always views of DistributedDataParallel's buckets; several devices only."""
    static_graph: bool = False
    """Option of DistributedDataParallel; several devices only."""
    threads: int | None = Field(None, ge=1, le=1024)
    """Threads per process; CPU only. None: its share of the cores."""

    @property
    def on(self) -> dict[str, Any]:
        return self.model_dump(exclude_defaults=True)

    def steps_before_capture(self, devices: int) -> int:
        """Steps that run uncaptured before the one that a CUDA graph captures; 0 without a graph.

        In three, cuDNN chooses kernels and the optimisers create their moments. DistributedDataParallel also rebuilds
        its buckets after the first, and takes times in its first ten forward passes, which no capture allows: 11.
        """
        return (3 if devices == 1 else 11) if self.cuda_graph else 0


class AlarmConfig(Section):
    """When a convergence run raises an alarm, by means over whole epochs (`pix2pix/alarm_rules.py`)."""

    collapse_below: NonNegativeFloat = 0.01
    """The discriminator has collapsed when the means of D_real and D_fake are both below this ..."""
    collapse_epochs: PositiveInt = 5
    """... in this many epochs in a row."""
    flat_below: float = Field(0.01, ge=0, lt=1)
    """G_L1 is flat when it certainly fell by less than this share ..."""
    flat_epochs: int = Field(20, ge=4)
    """... from the first half of this many epochs to the second."""
    flat_until: float = Field(0.25, ge=0, le=1)
    """Only this first share of the run is checked for a flat loss: later on it may level off."""
    stop_on: tuple[AlarmKind, ...] = ()


class ModelConfig(Frozen):
    """What `configs/MODEL.yaml` says, with one recipe applied."""

    description: str = ""
    network: NetworkConfig = NetworkConfig()
    optim: OptimConfig = OptimConfig()
    data: DataConfig = DataConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    measure: MeasureConfig = MeasureConfig()
    speed: SpeedConfig = SpeedConfig()
    alarms: AlarmConfig = AlarmConfig()

    @property
    def settings(self) -> dict[str, Any]:
        """Every value by the dotted key that `--set` takes: `network.ngf`."""
        sections = {name: section.model_dump(mode="json") for name, section in self if isinstance(section, Frozen)}
        return {f"{name}.{key}": value for name, values in sections.items() for key, value in values.items()}
