"""The options of --runner slurm: one table for the command line and spec files; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.errors import UsageError
from gbench.settings.request import OF_SLURM, ROWS
from gbench.settings.slurm_config import SlurmConfig
from gbench.settings.spec import RunSpec

Make = Callable[..., RunSpec]
ALL = {
    "partition": "gpu",
    "account": "lab",
    "qos": "high",
    "time": "1-12:30",
    "constraint": "a100&nvlink",
    "sbatch": ("--mem=0", "--reservation=tests"),
    "queue_timeout_s": 1800.0,
    "container": "pyxis",
}


def test_every_option_gets_into_the_spec(make_spec: Make) -> None:
    assert set(ALL) == set(OF_SLURM) == set(SlurmConfig.model_fields) - {"allow"}
    spec = make_spec(runner="slurm", image="registry#team/bench:1", **ALL)
    assert spec.slurm == SlurmConfig(**ALL)  # type: ignore[arg-type]
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec
    assert make_spec(runner="local").slurm is None


def test_a_spec_file_has_the_same_options(gbench: Callable[..., Answer], facades: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "{model: pix2pix_resnet_9blocks, batch_size: 4, device_count: 1, precision: FP32, device: cpu, runner: Slurm, "
        f"datasets_dir: {facades}, dataset: synthetic, "
        "time: 1-12, sbatch: ['--mem=0'], queue_timeout: 30m, container: BARE}"
    )
    answer = gbench("launch", "run.yaml", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    slurm = answer.json["spec"]["slurm"]
    assert (slurm["time"], slurm["sbatch"], slurm["queue_timeout_s"]) == ("1-12", ["--mem=0"], 1800.0)


@pytest.mark.parametrize("name", OF_SLURM)
def test_another_runner_has_none_of_them(make_spec: Make, name: str) -> None:
    option = f"--{ROWS[name].key.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"{option} has no effect with --runner local; add --runner slurm"):
        make_spec(runner="local", **{name: ALL[name]})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"time": "soon"}, "--time 'soon' is not a time limit of Slurm"),
        ({"partition": "a\n#SBATCH --uid=0"}, "--partition 'a\\n#SBATCH --uid=0' is empty or not one line"),
        ({"sbatch": ("mem=0",)}, "--sbatch 'mem=0' is not an option of sbatch"),
        ({"sbatch": ("--mem=0\nrm",)}, "is empty or not one line"),
        ({"container": "apptainer"}, "--container apptainer needs the image; give --image FILE.sif"),
        ({"container": "apptainer", "image": "bench:1"}, "--container apptainer needs the image"),
        ({"container": "pyxis"}, "--container pyxis needs the image"),
        ({"cuda_visible_devices": "1"}, "--gpus has no effect with --runner slurm"),
        ({"nodes": 2, "device_count": 2, "rdzv": "10.0.0.1:1"}, "--rdzv has no effect with --runner slurm"),
        ({"profile": "optimized"}, "--profile optimized has no effect with --runner slurm"),
    ],
)
def test_what_is_refused(make_spec: Make, changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_spec(runner="slurm", **changes)
    assert says in str(raised.value)


def test_help_has_a_section_of_them(gbench: Callable[..., Answer]) -> None:
    for verb in ("launch", "converge"):
        common, section = gbench(verb, "--help").out.split("Options of --runner slurm and kubernetes:")
        for name in OF_SLURM:
            option = f"  --{ROWS[name].key.replace('_', '-')} "
            assert option in section and option not in common


def test_a_check_is_of_this_host(gbench: Callable[..., Answer]) -> None:
    answer = gbench("check", "--runner", "slurm", "--device", "cpu")
    assert (answer.code, "srun gbench check" in answer.err) == (2, True), answer.err
