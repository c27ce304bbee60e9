"""Records for tests: plain ones to vary, and arbitrary valid ones drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from gbench.cndb.identity import sealed
from gbench.cndb.record import Record, checked
from gbench.machine.calibration import CalibratedRun, Calibration

# The same examples every time: a failure in CI is a failure here.
REPEATABLE = settings(
    derandomize=True, database=None, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck)
)
PLAIN = {
    "model": "pix2pix-resnet_9blocks",
    "batch_size": 32,
    "framework": "PyTorch",
    "dataset": "facades",
    "dev": "Drawn-80GB",
    "dev_num": 2,
    "train_type": "FP32",
    "dist_type": "DDP",
    "perf_data": {
        "throughput": 22.5,
        "throughput_unit": "img/s",
        "throughput_interval": {"low": 22.25, "high": 22.75, "level": 0.95},
        "steady_state": True,
    },
    "metric_data": {"G_GAN": 2.5, "G_L1": 18.25},
    "hyper_params": {"lr": 0.0002, "netG": "resnet_9blocks", "seed": 1},
    "code_link": "https://example.org/code@003efc4c",
    "soft_info": {"name": "drawn:1", "torch": "2.7.0", "cuda": "12.8"},
    "hard_info": {"name": "Drawn OS 1", "cpu": {"name": "Drawn CPU", "sockets": 2, "cores": 64}, "mem": "512 GB"},
    "tags": ["nightly", "a,b"],
    "extra": {"NV_Web": "N/A", "Github": "N/A", "driver": "570.1"},
}
BARE = ("metric_data", "hyper_params", "code_link", "soft_info", "hard_info", "tags", "extra")
LOG_LINE = (
    "network:pix2pix-resnet_9blocks, batch size:32, device count:1, dpf mode:Single, precision:TF32, "
    "throughput:44.5 img/s, device:A100-SXM4-40GB, dataset:facades"
)


def drawn(**changes: Any) -> Record:
    """A record of this version, without a run id."""
    return checked({**PLAIN, **changes}, "a drawn record")


def of_run(run_id: str, **changes: Any) -> Record:
    """A record of one run."""
    return drawn(**{"extra": {"NV_Web": "N/A", "run_id": run_id}, **changes})


def record(run_id: str | None = None, throughput: float = 22.9, **changes: Any) -> Record:
    """A minimal record with a throughput; sealed, like that of a launch, if it has a run id."""
    figure = {"throughput": throughput, "throughput_unit": "img/s"}
    values = {**PLAIN, **dict.fromkeys(BARE), "dev": "V100-PCIE-32GB", "dev_num": 8, "perf_data": figure, **changes}
    if run_id is None:
        return Record.model_validate(values)
    return sealed(Record.model_validate({**values, "extra": {**(changes.get("extra") or {}), "run_id": run_id}}))


# What YAML, JSON or SQL might take for something else, or break on.
LOOKALIKES = (
    "1e3",
    "1.0",
    "0x1f",
    "0o17",
    "1_000",
    "12:30:45",
    "2026-01-31",
    "2026-01-31 10:00:00",
    ".nan",
    ".inf",
    "yes",
    "no",
    "on",
    "null",
    "~",
    "",
    " ",
    "true",
    "<<",
    "=",
    "-",
    "- a",
    "a: b",
    "# x",
    "!x",
    "&a",
    "*a",
    "---",
    "'",
    '"',
    "''",
    '"\\',
    "\\",
    "\\n",
    "'; DROP TABLE models; --",
    "{}",
    "[1]",
    "%s",
    "%(a)s",
    ":a",
    "$1",
    "{a,b}",
    "\n",
    "\r\n",
    "\r",
    "a\nb\n",
    " a ",
    "\ta",
    "a \nb",
    "\x85",
    "\u2028",
    "\ufeff",
    "\x01\x1b[31m",
    "\x7f",
    "\ufffe",
    "%TAG",
    "...",
    "gbench_kept",
    "unknown",
    "name",
    "é",
    "e\u0301",
    "漢字",
    "🙂",
    "\U0010ffff",
    "x" * 50_000,
    "two words " * 5_000,
)
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(CHARACTERS, max_size=30) | st.sampled_from(LOOKALIKES)
# Names are the keys of the database's unique indexes, so they are bounded.
NAMES = TEXTS.map(lambda text: text[:200]).filter(bool)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(10**300), 10**300),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 0.0, -0.0, 5e-324, -2.5e-308, 1.7976931348623157e308, 2.0**53, 2**53 + 1, 2**63, 1e16, 0.1]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(TEXTS, VALUES, max_size=5)
INFOS = st.builds(lambda name, rest: {**rest, "name": name}, NAMES | st.just("unknown"), MAPPINGS)


def _record(values: dict[str, Any]) -> Record:
    return checked(values, "a drawn record")


ANY_RECORD = st.fixed_dictionaries(
    {
        "model": NAMES,
        "framework": NAMES,
        "dataset": NAMES,
        "dev": NAMES,
        "dev_num": st.integers(1, 2**31 - 1),
        "perf_data": st.dictionaries(TEXTS | st.sampled_from(["throughput", "steady_state"]), VALUES, min_size=1),
    },
    optional={
        "batch_size": st.none() | st.integers(1, 2**31 - 1),
        "train_type": st.none() | NAMES,
        "eval_type": st.none() | TEXTS,
        "dist_type": st.none() | TEXTS,
        "metric_data": st.none() | MAPPINGS,
        "hyper_params": st.none() | MAPPINGS,
        "code_link": st.none() | TEXTS,
        "soft_info": st.none() | INFOS,
        "hard_info": st.none() | INFOS,
        "md5_val": st.none() | NAMES | st.just("0123456789abcdef0123456789abcdef"),
        "tags": st.none() | st.lists(TEXTS, max_size=4),
        "extra": st.none() | MAPPINGS,
    },
).map(_record)


def calibration(throughputs: Sequence[float]) -> Calibration:
    """A calibration of plain runs with these throughputs, in images a second."""
    runs = tuple(CalibratedRun(throughput=one, error_share=0.001) for one in throughputs)
    return Calibration(key={}, title="t", host_name="here", made_utc="x", runs=runs)
