"""What a user may ask of a run: one table, a row per argument or option.

`cli/shared/run_options.py` makes the command line from it, `yaml_keys.py` the keys of a spec file, and `resolve.py` the
fields of RunSpec. To add an option, add a field here, and a field of the same name to RunSpec unless the row names the
config value that it sets. Imports nothing heavy: `gbench launch --help` loads this.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Enum, auto
from typing import Any

from gbench.settings.literals import DB_TIMEOUT_S, Recipe


class Kind(Enum):
    """The type of a value, and how a command line and a spec file write it."""

    TEXT = auto()
    COUNT = auto()  # a whole number, at least 1
    NATURAL = auto()  # a whole number, at least 0
    AMOUNT = auto()  # a number, at least 0
    DATASETS_DIR = auto()
    FLAG = auto()
    SPAN = auto()  # seconds; written 90s, 15m, 2h
    SHARE = auto()  # a share of 1; written 1%
    PRECISION = auto()
    DEVICE = auto()
    RUNNER = auto()
    NETWORK = auto()
    ENDPOINT = auto()  # an address and a port
    GPUS = auto()  # a list of numbers or UUIDs
    DATA_SOURCE = auto()
    PROFILE = auto()
    DATABASE = auto()  # a name or a file; `false` is None
    IGNORE_CHECK = auto()  # false or ignore_check
    SETTINGS = auto()  # values of the config: repeated KEY=VALUE, or a mapping
    VARIABLES = auto()  # environment variables: repeated NAME=VALUE, or a mapping
    CONTAINER = auto()
    LINES = auto()  # repeated text, or a list


@dataclass(frozen=True)
class RequestRow:
    """How one field of Request is written."""

    kind: Kind
    help: str = ""
    name: str = ""
    """The field of Request. RunSpec has the same, unless `setting` is given."""
    default: Any = None
    key: str = ""
    """The key of a spec file, and the long option with `-` for `_`. Defaults to the name."""
    metavar: str | None = None
    variable: str = ""
    """launch.sh's environment variable, used where the option is not given."""
    setting: str = ""
    """The config value that the option sets, as `--set` names it."""


def _row(kind: Kind, help: str = "", **more: str) -> dict[str, RequestRow]:
    """The metadata of a field; `more` are fields of RequestRow."""
    return {"row": RequestRow(kind, help, **more)}


def _option(kind: Kind, help: str, default: Any = None, **more: str) -> Any:
    """A field with its row."""
    return field(default=default, metadata=_row(kind, help, **more))


@dataclass(frozen=True)
class Request:
    """What the user requests; None or empty where nothing is given. Fields without a row are set by the command."""

    model: str = field(metadata=_row(Kind.TEXT))
    batch_size: int = field(metadata=_row(Kind.COUNT))
    device_count: int = field(metadata=_row(Kind.COUNT))
    precision: str = field(metadata=_row(Kind.PRECISION))
    database: str | None = _option(Kind.DATABASE, "")
    ignore_check: bool = _option(Kind.IGNORE_CHECK, "", False)

    # how long a measured run takes
    steps: int | None = _option(
        Kind.COUNT, "Optimisation steps to run. Default: the recipe's.", setting="schedule.max_steps"
    )
    warmup: int | None = _option(
        Kind.NATURAL, "Minimum number of first steps to exclude from the statistics.", setting="schedule.warmup_steps"
    )
    until_ci: float | None = _option(
        Kind.SHARE,
        "Run until the half-width of the 95 % confidence interval is at most this share of the mean: 1%.",
        setting="schedule.until_ci",
    )
    max_time_s: float | None = _option(
        Kind.SPAN,
        "Start no step after this much training time: 90s, 10m.",
        key="max_time",
        setting="schedule.max_time_s",
    )

    # a run on several hosts
    nodes: int = _option(
        Kind.COUNT,
        "Number of hosts. Each runs this same command; DEVICE_COUNT is the total and is split evenly over them.",
        1,
    )
    rdzv: str | None = _option(
        Kind.ENDPOINT,
        "Where the nodes meet: an address of the first one, which is node 0, and a free port on it.",
        metavar="HOST:PORT",
    )
    node_rank: int | None = _option(
        Kind.NATURAL, "Number of this node; 0 is the host of --rdzv. Default: the nodes number themselves."
    )
    rdzv_timeout_s: float = _option(
        Kind.SPAN, "Stop if the nodes have not met after this time: 90s, 15m.", 600.0, key="rdzv_timeout"
    )

    # what every run takes
    device: str = _option(Kind.DEVICE, "cuda or cpu. Variable: GBENCH_DEVICE.", "cuda")
    runner: str = _option(
        Kind.RUNNER,
        "docker, local: this Python environment, or slurm or kubernetes: a job on a cluster. Variable: GBENCH_RUNNER.",
        "docker",
    )
    network: str = _option(
        Kind.NETWORK,
        "Network of the container: bridge; or host, for a script that needs it. With several nodes always the host's.",
        "bridge",
    )
    cuda_visible_devices: str | None = _option(
        Kind.GPUS,
        "GPUs to run on, as `nvidia-smi -L` numbers or names them: 2,3. Default: CUDA_VISIBLE_DEVICES, else the first.",
        key="gpus",
        metavar="LIST",
    )
    seed: int = _option(Kind.NATURAL, "Random seed of the weights, the dropout and the data order.", 0)
    deterministic: bool = _option(
        Kind.FLAG, "Use deterministic kernels: a rerun gives bitwise equal losses. Slower.", False
    )
    timeout_s: float | None = _option(
        Kind.SPAN, "Stop the run, with its evaluation, if it takes longer than this: 90s, 15m, 2h.", key="timeout"
    )
    settings: tuple[str, ...] = _option(
        Kind.SETTINGS,
        "Override a value of the model's config: network.ngf=16. Repeatable.",
        (),
        key="set",
        metavar="KEY=VALUE",
    )
    env: Mapping[str, str] = field(
        default_factory=dict,
        metadata=_row(
            Kind.VARIABLES,
            "Set an environment variable of the run script: OMP_NUM_THREADS=4. The record stores its value. "
            "Repeatable.",
            metavar="NAME=VALUE",
        ),
    )
    data_source: str | None = _option(
        Kind.DATA_SOURCE,
        "real: decode every image in every epoch, as upstream does (default); cached: decode once, crop and flip "
        "during the run; resident: as cached, on the device; synthetic: one batch of noise, to time the computation "
        "alone.",
        key="data",
        setting="data.source",
    )
    profile: str | None = _option(
        Kind.PROFILE,
        "reference: upstream's memory layout and kernels (default); optimized: the switches that gbench tune found for "
        "this run; custom: the switches given with --set speed.KEY=VALUE.",
        metavar="PROFILE",
    )
    cache_dir: str | None = _option(
        Kind.TEXT,
        "Folder for decoded images, hashes and tuning results. Default: $XDG_CACHE_HOME/gbench or ~/.cache/gbench.",
        metavar="DIR",
    )
    cache_limit_gib: float = _option(
        Kind.AMOUNT,
        "Size limit of the decoded images; a dataset that does not fit is read as with --data real.",
        4.0,
        key="cache_limit",
        metavar="GIB",
    )
    rehash: bool = _option(
        Kind.FLAG, "Hash every file of the dataset, also those that have not changed since the last run.", False
    )

    # launch.sh's variables
    image: str | None = _option(
        Kind.TEXT,
        "Image name; gbench appends a hash of the image's sources. NAME@sha256:... is used as is.",
        variable="CONT",
    )
    dataset: str | None = _option(Kind.TEXT, "Dataset name, as stored in the record.", variable="DATASETS")
    datasets_dir: str | None = _option(
        Kind.DATASETS_DIR, "Dataset folder on the host, mounted read-only at /data.", variable="DATASETS_DIR"
    )
    cndb_dir: str | None = _option(
        Kind.TEXT, "CNDB folder; records are written to its records/ folder.", variable="CNDB_DIR"
    )
    db_timeout_s: float = _option(
        Kind.SPAN,
        "Give up a database, or its name service, that does not answer for this long: 30s, 2m.",
        DB_TIMEOUT_S,
        key="db_timeout",
    )
    code_link: str | None = _option(
        Kind.TEXT, "Link to the model's code; must contain a commit id.", variable="CODE_LINK"
    )
    run_model_file: str | None = _option(
        Kind.TEXT,
        "Run script: a path, or the name of one in the project's scripts/: pt-pix2pix.sh (performance), "
        "pt-pix2pix-convergency.sh, pt-pix2pix-upstream.sh (the yardstick).",
        variable="RUN_MODEL_FILE",
    )
    dockerfile: str | None = _option(Kind.TEXT, "Dockerfile of the image.", variable="DOCKERFILE")
    config_dir: str | None = _option(Kind.TEXT, "Folder of the MODEL.yaml files.", key="config", variable="CONFIG")

    from_image: str | None = _option(Kind.TEXT, "Base image. Default: the Dockerfile's.", metavar="IMAGE")
    results_dir: str | None = _option(
        Kind.TEXT, "Folder for run folders. Default: $RESULT_DIR, or results in $WORK_DIR or here.", key="results"
    )
    logs_dir: str | None = _option(
        Kind.TEXT, "Folder for log files. Default: $LOG_DIR, or logs in $WORK_DIR or here.", key="logs"
    )

    # what only --runner slurm or kubernetes takes
    partition: str | None = _option(Kind.TEXT, "Partition of the job.", metavar="NAME")
    account: str | None = _option(Kind.TEXT, "Account that the job is charged to.", metavar="NAME")
    qos: str | None = _option(Kind.TEXT, "Quality of service of the job.", metavar="NAME")
    time: str | None = _option(
        Kind.TEXT,
        "Time limit of the job, as sbatch takes it: minutes, 4:00:00, 1-12. A convergence run saves a checkpoint "
        "before it, and goes on in the next start.",
        metavar="TIME",
    )
    constraint: str | None = _option(Kind.TEXT, "Features of the nodes: a100&nvlink.", metavar="LIST")
    sbatch: tuple[str, ...] = _option(
        Kind.LINES, 'Any other option of sbatch: --sbatch "--mem=0". Repeatable.', (), metavar="OPTION"
    )
    queue_timeout_s: float | None = _option(
        Kind.SPAN,
        "Cancel the job if it waits in the queue for longer than this: 30m, 2h. Default: it waits.",
        key="queue_timeout",
    )
    claim: str | None = _option(
        Kind.TEXT,
        "For kubernetes: the PersistentVolumeClaim with the dataset, into which the job writes its run folder.",
        metavar="NAME",
    )
    container: str = _option(
        Kind.CONTAINER,
        "bare: this Python environment, on storage that the nodes share; apptainer or pyxis: the image of --image.",
        "bare",
    )

    recipe: Recipe = "performance"
    """The recipe, unless an option or a variable names a run script."""
    stop_on: tuple[str, ...] = ()
    """Alarms that end a convergence run."""
    command_line: str = ""
    """The command that made the request, for the record."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where the values of defaults.py came from, by variable, field, or key of the config."""


def _rows() -> Iterator[RequestRow]:
    for one in fields(Request):
        if row := one.metadata.get("row"):
            default = one.default if one.default_factory is MISSING else one.default_factory()
            yield replace(row, name=one.name, default=default, key=row.key or one.name)


ROWS = {row.name: row for row in _rows()}
OF_NODES = ("nodes", "rdzv", "node_rank", "rdzv_timeout_s")  # only where a run may be on several hosts
ARGUMENTS = ("model", "batch_size", "device_count", "precision", "database", "ignore_check")
OF_SLURM = ("partition", "account", "qos", "time", "constraint", "sbatch", "queue_timeout_s", "container")
OF_KUBERNETES = ("claim", "queue_timeout_s")
OF_CLUSTERS = (*OF_SLURM, "claim")
# launch.sh's variables, and the fields that they set
VARIABLE_FIELDS = {row.variable: row.name for row in ROWS.values() if row.variable}
