"""The values that a setting may be chosen from. Imports nothing heavy: `gbench launch --help` loads this."""

from typing import Literal

Precision = Literal["FP32", "TF32", "AMP", "BF16"]
Device = Literal["cuda", "cpu"]
Network = Literal["bridge", "host"]
RunnerName = Literal["docker", "local", "slurm", "kubernetes"]
CLUSTERS: tuple[RunnerName, ...] = ("slurm", "kubernetes")  # those whose runs are jobs on other machines
ContainerName = Literal["bare", "apptainer", "pyxis"]
AlarmKind = Literal["nan", "collapse", "flat"]
Recipe = Literal["performance", "convergence", "custom"]
DataSource = Literal["real", "cached", "resident", "synthetic"]
MetricName = Literal["throughput", "latency-p95", "memory", "energy"]  # of compare/metrics.py, for any kind of run
SpeedProfile = Literal["reference", "optimized", "custom"]
# variable of a run script: seconds that each step takes longer, for gbench calibrate
STEP_DELAY = "GBENCH_STEP_DELAY_S"
THRESHOLD = 0.03  # the loss that compare, nightly and replay look for, as a share of 1, unless --threshold says another
DB_TIMEOUT_S = 30.0  # for which a database may be silent, unless --db-timeout says another
