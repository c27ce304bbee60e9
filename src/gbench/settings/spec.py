"""RunSpec: one frozen, fully resolved description of a run.

The host resolves it once (`resolve.py`) and writes it as `spec.json` into the run folder; everything after that, the
worker included, reads only this.
"""

from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from gbench.settings.kubernetes_config import KubernetesConfig
from gbench.settings.literals import (
    CLUSTERS,
    DB_TIMEOUT_S,
    Device,
    Network,
    Precision,
    Recipe,
    RunnerName,
    SpeedProfile,
)
from gbench.settings.model_config import Frozen, ModelConfig, ScheduleConfig
from gbench.settings.request import VARIABLE_FIELDS
from gbench.settings.slurm_config import SlurmConfig


class EvaluationConfig(Frozen):
    """What an evaluation puts through the generator, and how. Paths are the host's."""

    checkpoint: str
    epoch: PositiveInt | None = None
    """Epoch after which they were saved, if the host knows it."""
    run_id: str | None = None
    out: str
    eval_mode: bool = False
    """Dropout off and running statistics; otherwise dropout on and batch statistics, as upstream."""
    lpips_weights: str | None = None
    """torchvision's weights for LPIPS. None: no LPIPS."""
    fid_weights: str | None = None
    """torch-fidelity's weights for FID and KID. None: neither."""

    @property
    def inputs(self) -> dict[str, str]:
        """The files to read, by the name under which a container finds them."""
        files = {"checkpoint": self.checkpoint, "lpips_weights": self.lpips_weights, "fid_weights": self.fid_weights}
        return {name: path for name, path in files.items() if path is not None}


class ProfileConfig(Frozen):
    """What part of a run is profiled: this many steps, after the warm-up of the schedule."""

    steps: PositiveInt


class TuningConfig(Frozen):
    """How long `gbench tune` tries the switches: seconds of timed steps over all trials."""

    max_time_s: PositiveFloat = 120.0


class TunedBy(Frozen):
    """The tuning that a run's switches come from."""

    run_id: str
    utc: str
    torch_version: str
    ratio: PositiveFloat | None
    """The reference's step time divided by that with the switches. None: no switch paid."""


class RunSpec(Frozen):
    """Everything that decides what a run does. Paths are the host's.

    A field that Request has too is described there.
    """

    spec_version: Literal[1, 2] = 1
    """2: the run is on several nodes, and device_count is the total over them. In 1 there is one node."""
    run_id: str
    """`<utc>-<model>-<short id>`."""
    model: str
    record_name: str
    """CNDB's name of the model."""
    framework: str
    """CNDB's name of the framework."""
    recipe: Recipe | Literal["evaluation", "profile", "tuning", "fleet"]
    """What kind of run it is; custom: a run script of the user's own; fleet: the probe of `gbench check --fleet`."""
    batch_size: PositiveInt
    """Samples per step, over all devices."""
    device_count: PositiveInt
    """Devices over all nodes."""
    nodes: PositiveInt = 1
    """Hosts that take part."""
    rdzv: str | None = None
    node_rank: int | None = Field(None, ge=0)
    rdzv_timeout_s: PositiveFloat = 600.0
    precision: Precision
    device: Device
    runner: RunnerName
    network: Network = "bridge"
    database: str | None
    """Database that gets the record: a name or a config file. None: no upload."""
    db_timeout_s: PositiveFloat = DB_TIMEOUT_S
    ignore_check: bool
    """Measure although the machine is not fit."""
    seed: NonNegativeInt
    deterministic: bool
    timeout_s: PositiveFloat | None
    config: ModelConfig

    image: str
    """Name, to which the runner adds a hash of its sources."""
    dockerfile: str
    from_image: str | None
    dataset: str
    datasets_dir: str
    dataset_subdir: str
    """The dataset's folder in datasets_dir: its name, or "" where datasets_dir is the dataset."""
    cndb_dir: str
    code_link: str
    run_model_file: str
    config_dir: str
    results_dir: str
    logs_dir: str
    command_line: str
    cache_dir: str = ""
    cache_limit_gib: NonNegativeFloat = 4.0
    rehash: bool = False
    """Hash every file of the dataset, also those whose hashes are in the cache."""
    env: dict[str, str] = Field(default_factory=dict)
    cuda_visible_devices: str | None = None
    """GPUs to run on, in the format of that variable. None: the first, or no GPUs at all."""
    omp_num_threads: PositiveInt | None = None
    """OMP_NUM_THREADS, threads of each rank, if the user has set it."""
    profile: SpeedProfile = "reference"
    """Who chose the switches of `speed`: nobody, a tuning (optimized), or the user (custom)."""
    tuned_by: TunedBy | None = None
    """The tuning that chose them, for profile=optimized."""
    evaluation: EvaluationConfig | None = None
    """If set, nothing is trained: a checkpoint is evaluated."""
    profiling: ProfileConfig | None = None
    """If set, the last steps are profiled and nothing is measured."""
    slurm: SlurmConfig | None = None
    """What the job asks of Slurm, for runner=slurm."""
    kubernetes: KubernetesConfig | None = None
    """What the job asks of Kubernetes, for runner=kubernetes."""
    tuning: TuningConfig | None = None
    """If set, there is no run: the switches of `speed` are tried."""

    @property
    def on_cluster(self) -> bool:
        """Whether it is a job of a cluster, whose nodes report themselves: this host only submits and follows it."""
        return self.runner in CLUSTERS

    @property
    def cluster(self) -> SlurmConfig | KubernetesConfig | None:
        """The options of its job; None: it has none, or those of a replay, which are the cluster's defaults."""
        return self.slurm or self.kubernetes

    @property
    def run_dir(self) -> Path:
        return Path(self.evaluation.out) if self.evaluation else Path(self.results_dir) / self.run_id

    @property
    def schedule(self) -> ScheduleConfig:
        """The schedule, with a warm-up that covers the capture of a CUDA graph, which takes long."""
        schedule = self.config.schedule
        if not self.config.speed.cuda_graph:
            return schedule
        captured = self.config.speed.steps_before_capture(self.world_size) + 1
        warmup = max(schedule.warmup_steps, captured)
        last = schedule.max_steps if self.profiling is None else warmup + self.profiling.steps
        return schedule.replaced(warmup_steps=warmup, max_steps=last)

    @property
    def compiles(self) -> bool:
        return self.config.speed.compile != "none" or self.tuning is not None

    @property
    def variables(self) -> dict[str, str]:
        """launch.sh's eight variables and their resolved values."""
        return {variable: getattr(self, field) for variable, field in VARIABLE_FIELDS.items()}

    @property
    def world_size(self) -> int:
        """Processes over all nodes, one per device."""
        return self.device_count

    @property
    def devices_per_node(self) -> int:
        return self.device_count // self.nodes

    @property
    def batch_per_device(self) -> int:
        return self.batch_size // self.world_size
