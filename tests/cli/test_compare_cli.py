"""`gbench compare` as a user and a nightly job run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from support import Answer

from drawn_records import record
from gbench.cli.compare import METRIC_NAMES
from gbench.cndb.record_file import save
from gbench.compare.metrics import METRICS

Gbench = Callable[..., Answer]


@pytest.fixture
def side(tmp_path: Path) -> Callable[..., str]:
    """Write records of runs with a relative variation about a throughput; returns their folder."""

    def write(name: str, throughput: float, runs: int = 5, run_sd: float = 0.002, **changes: Any) -> str:
        rng = np.random.default_rng(len(name))
        for number, factor in enumerate(np.exp(run_sd * rng.standard_normal(runs))):
            value = float(throughput * factor)
            perf = {
                "throughput": value,
                "throughput_unit": "img/s",
                "throughput_interval": {"low": 0.999 * value, "high": 1.001 * value},
                "step": {"p95_s": 33 / value},
                "memory": [{"allocated_bytes": 2**33}],
                "steady_state": True,
            }
            saved = record(run_id=f"{name} {number}", **{"perf_data": perf, **changes})
            save(saved, tmp_path / name / f"{number}.yaml")
        return name

    return write


def test_no_regression_is_0_and_a_gain_is_told(gbench: Gbench, side: Callable[..., str]) -> None:
    same = gbench("compare", side("base", 1000), side("other", 1001))
    assert (same.code, same.err) == (0, "")
    assert same.out.splitlines()[-1].startswith("NO REGRESSION of 3%: throughput ")
    faster = gbench("compare", "base", side("faster", 1100), "--json")
    assert (faster.code, faster.json["verdict"], faster.json["exit_code"]) == (0, "no regression", 0)
    assert faster.json["figures"][0]["improved"] is True
    assert faster.json["sentence"].startswith("NO REGRESSION of 3%, IMPROVED: throughput +")


def test_a_regression_is_1_with_reasons_and_files(gbench: Gbench, side: Callable[..., str], tmp_path: Path) -> None:
    side("base", 1000, extra={"driver": "550"})
    side("slow", 960, extra={"driver": "560"})
    answer = gbench("compare", "base", "slow", "--markdown", "verdict.md", "--junit", "verdict.xml")
    assert answer.code == 1
    sentence = answer.out.splitlines()[-1]
    assert sentence.startswith("REGRESSION: throughput -4.")
    assert "driver: 550 -> 560" in answer.out

    page = (tmp_path / "verdict.md").read_text()
    assert page.startswith(f"**{sentence}**\n\n| figure | verdict | change | 95 % interval | BASE | NEW |\n| --- ")
    assert "\n| throughput | regression | -4." in page
    assert "\n- driver: 550 -&gt; 560" in page or "\n- driver: 550 -> 560" in page

    suite = ElementTree.parse(tmp_path / "verdict.xml").getroot()
    assert {key: suite.get(key) for key in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3",
        "failures": "2",
        "skipped": "0",
        "errors": "0",
    }
    assert [case.get("name") for case in suite.iter("testcase")] == ["throughput", "latency-p95", "memory"]
    failure = suite.find("testcase/failure")
    assert failure is not None and "driver: 550 -> 560" in str(failure.text)
    assert sentence in str(suite.findtext("system-out"))


def test_two_percent_are_found_and_pass_a_threshold_of_ten(gbench: Gbench, side: Callable[..., str]) -> None:
    side("base", 1000), side("slower", 978)
    assert gbench("compare", "base", "slower").code == 1
    lenient = gbench("compare", "base", "slower", "--threshold", "10%")
    assert lenient.code == 0
    assert "note: certainly worse, but by less than half the threshold: throughput" in lenient.out


def test_inconclusive_is_3_with_the_runs_that_would_decide(
    gbench: Gbench, side: Callable[..., str], tmp_path: Path
) -> None:
    side("noisy", 1000, run_sd=0.03), side("noisy too", 990, run_sd=0.03)
    answer = gbench("compare", "noisy", "noisy too", "--json", "--junit", "verdict.xml")
    assert (answer.code, answer.json["verdict"]) == (3, "inconclusive")
    more = answer.json["figures"][0]["more_runs"]["each"]
    assert more > 1
    assert f"{more} more of each" in answer.json["sentence"]
    assert "; at 99.5% confidence neither no loss nor a loss of 3% can be excluded; " in answer.json["sentence"]
    suite = ElementTree.parse(tmp_path / "verdict.xml").getroot()
    assert suite.get("skipped") == "2"


def test_one_run_a_side_says_what_it_assumes(gbench: Gbench, side: Callable[..., str]) -> None:
    side("base", 1000, runs=1), side("new", 970, runs=1)
    answer = gbench("compare", "base", "new")
    assert answer.code == 3
    assert "throughput 3%; " in answer.out and "is ASSUMED" in answer.out
    assert gbench("compare", "base", "new", "--run-sd", "0.3%").code == 1


def test_records_of_different_things_are_2_with_fields(gbench: Gbench, side: Callable[..., str]) -> None:
    side("base", 1000), side("other", 900, train_type="TF32", batch_size=64)
    answer = gbench("compare", "base", "other")
    assert (answer.code, answer.out) == (2, "")
    assert "batch_size is 32 in BASE, 64 in NEW; precision is FP32 in BASE, TF32 in NEW" in answer.err
    allowed = gbench("compare", "base", "other", "--allow", "batch_size", "--allow", "precision")
    assert allowed.code == 1
    assert "note: allowed to differ: precision: FP32 -> TF32" in allowed.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("base", "nowhere"), "NEW 'nowhere' is no record"),
        (("base", "last:5"), "folder or pattern of them; give a record file or a run folder, several"),
        (("nowhere", "base"), "give a record file, a run folder, last:5 or baseline:NAME"),
        (("base", "base"), "is the same run as"),
        (("base", "broken.yaml"), "broken.yaml: not a mapping of record keys"),
        (("last:3", "base"), "there is no database"),
        (("base", "other", "--metric", "energy"), "not every run has energy"),
        (("base", "other", "--allow", "colour"), "--allow 'colour' is not a field"),
        (("base", "other", "--threshold", "3"), "'3' is not a percentage like 1%"),
        (("base", "other", "--explain", "--junit", "x.xml"), "--explain gives no verdict"),
        (("base", "other", "--junit", "no/folder/x.xml"), "x.xml can't be written: there is no folder no/folder"),
    ],
)
def test_wrong_arguments_are_never_taken_for_a_regression(
    gbench: Gbench, side: Callable[..., str], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    side("base", 1000, runs=2), side("other", 1000, runs=2)
    (tmp_path / "broken.yaml").write_text("- 1\n")
    answer = gbench("compare", *arguments)
    assert answer.code in (2, 4)
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_a_nightly_run_is_compared_with_its_earlier_ones(
    gbench: Gbench, side: Callable[..., str], tmp_path: Path
) -> None:
    side("nights", 1000, runs=8), side("tonight", 950, runs=1, soft_info={"name": "image:2"})
    gbench("cndb", "submit", *sorted(map(str, (tmp_path / "nights").glob("*.yaml"))))
    refused = gbench("compare", "last:8", "tonight")
    assert refused.code == 2
    assert "--allow image" in refused.err
    answer = gbench("compare", "last:8", "tonight", "--allow", "image", "--json")
    assert answer.code == 1
    assert answer.json["base"] == [f"record {number}" for number in range(1, 9)]
    assert answer.json["figures"][0]["run_sd"]["from"] == "the runs"

    alone = gbench("compare", "nights/0.yaml", "tonight", "--allow", "image", "--json")
    assert alone.json["figures"][0]["run_sd"]["from"] == "history"
    assert any("7 earlier runs of this configuration" in note for note in alone.json["notes"])

    machines = [{"extra": {"machine": {"host_name": name, "key": name * 16}}} for name in "ab"]
    side("elsewhere", 1000, runs=2, **machines[0]), side("here", 1000, runs=1, **machines[1])
    gbench("cndb", "submit", *sorted(map(str, (tmp_path / "elsewhere").glob("*.yaml"))))
    here = gbench("compare", "last:8", "here", "--json")
    assert here.json["base"] == answer.json["base"]
    left_out = "2 records of other machines are left out of the earlier runs; --allow machine admits them"
    assert left_out in here.json["notes"]


def test_explain_tells_what_differs_and_judges_nothing(gbench: Gbench, side: Callable[..., str]) -> None:
    side("base", 1000, extra={"driver": "550"}), side("new", 500, extra={"driver": "560"}, train_type="TF32")
    answer = gbench("compare", "--explain", "base", "new")
    assert answer.code == 0
    first, second = answer.out.splitlines()
    assert "precision: FP32 -> TF32" in first and "driver: 550 -> 560" in second
    values = gbench("compare", "--explain", "base", "new", "--json").json
    assert [(one["field"], one["influence"]) for one in values] == [("precision", "work"), ("driver", "software")]


def test_the_table_is_no_wider_than_the_terminal(gbench: Gbench, side: Callable[..., str]) -> None:
    side("base", 1000), side("other", 1001)
    for width in (120, 80, 40):
        lines = gbench("compare", "base", "other", COLUMNS=str(width)).out.splitlines()
        assert all(len(line) <= width for line in lines[:4])
        assert lines[1].startswith("through")
        assert "no regression" in lines[1] or "improved" in lines[1]


def test_the_figures_of_the_option_are_those_that_are_compared() -> None:
    assert tuple(metric.name for metric in METRICS) == METRIC_NAMES
