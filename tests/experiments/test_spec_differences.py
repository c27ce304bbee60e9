"""Differences of two specs, and which of them change the work."""

from __future__ import annotations

from collections.abc import Callable

from gbench.experiments.session import spec_differences
from gbench.settings.spec import RunSpec


def test_runs_of_one_spec_do_not_differ(make_spec: Callable[..., RunSpec]) -> None:
    one, other = make_spec(), make_spec(results_dir="elsewhere", command_line="gbench ab")
    assert one.run_id != other.run_id
    assert spec_differences(one, other) == []


def test_other_work_comes_first(make_spec: Callable[..., RunSpec]) -> None:
    other = make_spec(
        batch_size=8,
        precision="BF16",
        env={"OMP_NUM_THREADS": "2"},
        settings=("data.workers=1", "data.source=cached", "data.crop_size=36", "optim.beta1=0.9"),
    ).model_copy(update={"datasets_dir": "/elsewhere"})
    found = spec_differences(make_spec(), other)
    assert {one.field for one in found if one.work} == {
        "batch_size",
        "precision",
        "config.data.crop_size",
        "config.optim.beta1",
    }
    assert [one.field for one in found if not one.work] == [
        "config.data.workers",
        "config.data.source",
        "datasets_dir",
        "omp_num_threads",
        "env.OMP_NUM_THREADS",
    ]
    assert [one.work for one in found] == sorted((one.work for one in found), reverse=True)
    texts = list(map(str, found))
    assert "batch_size: 4 -> 8 (other work)" in texts
    assert "env.OMP_NUM_THREADS: - -> 2" in texts
