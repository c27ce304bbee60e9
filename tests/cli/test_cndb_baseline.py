"""`gbench cndb baseline`, and comparing with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer

from drawn_records import record
from gbench.cndb.record_file import read_record, save

Gbench = Callable[..., Answer]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path) -> None:
    """Six runs of one configuration and one of another, as record files."""
    for number in range(6):
        save(record(run_id=f"r{number}", throughput=100 + 0.1 * number), tmp_path / "runs" / f"{number}.yaml")
    save(record(run_id="tf32", train_type="TF32"), tmp_path / "tf32.yaml")
    save(record(run_id="slow", throughput=90.0), tmp_path / "slow.yaml")


def test_a_baseline_of_hostile_text_is_printable(gbench: Gbench, tmp_path: Path) -> None:
    save(record(run_id="r\x07", model="m\x07", dev="d\n\x1b]0;t"), tmp_path / "hostile.yaml")
    assert gbench("cndb", "baseline", "set", "b", "hostile.yaml", "--reason", "why\x07\nforged: 9 x m").code == 0
    shown = gbench("cndb", "baseline", "show").out
    assert len(shown.splitlines()) == 2 and shown.replace("\n", "").isprintable()


def test_a_baseline_says_who_when_why_and_can_be_compared(gbench: Gbench, tmp_path: Path) -> None:
    made = gbench("cndb", "baseline", "set", "quiet", "runs", "--reason", "first quiet week", LOGNAME="ana")
    assert (made.code, made.out) == (0, "baseline quiet: 6 runs in cndb/baselines/quiet.yaml\n")
    (pin,) = gbench("cndb", "baseline", "show", "quiet", "--json").json["quiet"]["pins"]
    assert (pin["by"], pin["reason"], pin["runs"]) == ("ana", "first quiet week", [f"r{n}" for n in range(6)])
    assert pin["at_utc"].endswith("+00:00")

    for path in (tmp_path / "runs").iterdir():
        path.unlink()  # the file holds all it needs
    answer = gbench("compare", "baseline:quiet", "slow.yaml", "--json")
    assert answer.code == 1
    assert answer.json["base"] == [f"baseline:quiet r{number}" for number in range(6)]


def test_a_refresh_keeps_who_pinned_what_before(gbench: Gbench, tmp_path: Path) -> None:
    gbench("cndb", "baseline", "set", "b", "runs/0.yaml", "--reason", "one", LOGNAME="ana")
    gbench("cndb", "baseline", "refresh", "b", "runs/1.yaml,runs/2.yaml", "--reason", "two", LOGNAME="ben")
    values = yaml.safe_load((tmp_path / "cndb" / "baselines" / "b.yaml").read_text())
    assert [(pin["by"], pin["reason"], pin["runs"]) for pin in values["pins"]] == [
        ("ana", "one", ["r0"]),
        ("ben", "two", ["r1", "r2"]),
    ]
    assert values["records"] == [read_record(tmp_path / "runs" / f"{n}.yaml").model_dump() for n in (1, 2)]
    first, newest, oldest = gbench("cndb", "baseline", "show").out.splitlines()
    assert first == "b: 2 x pix2pix-resnet_9blocks, batch 32 on 8 x V100-PCIE-32GB, FP32"
    assert "ben: two (r1, r2)" in newest and "ana: one (r0)" in oldest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cndb", "baseline", "set", "there", "runs", "--reason", "x"), "baseline there exists already"),
        (("cndb", "baseline", "refresh", "none", "runs", "--reason", "x"), "there is no baseline none"),
        (("cndb", "baseline", "set", "new", "runs"), "missing option '--reason'"),
        (("cndb", "baseline", "set", "new", "runs", "--reason", " "), "--reason is empty"),
        (("cndb", "baseline", "set", "../new", "runs", "--reason", "x"), "can't name a baseline"),
        (
            ("cndb", "baseline", "set", "new", "runs,tf32.yaml", "--reason", "x"),
            "the runs are not comparable: precision is FP32 | TF32; pin runs",
        ),
        (("cndb", "baseline", "set", "new", "nowhere", "--reason", "x"), "RUNS 'nowhere' is no record"),
        (("compare", "baseline:none", "slow.yaml"), "there is no baseline none"),
        (("compare", "baseline:there", "tf32.yaml"), "precision is FP32 in BASE, TF32 in NEW"),
    ],
)
def test_wrong_baselines_are_refused_and_change_nothing(
    gbench: Gbench, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    gbench("cndb", "baseline", "set", "there", "runs/0.yaml", "--reason", "x")
    (path,) = (tmp_path / "cndb" / "baselines").iterdir()
    before = path.read_text()
    answer = gbench(*arguments)
    assert answer.code == 2
    assert said in answer.err
    assert list(path.parent.iterdir()) == [path] and path.read_text() == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "input should be a valid dictionary or instance of Baseline, not None"),
        (b"records: []\n", "pins: field required"),
        (b"version: 2\npins: []\nrecords: []\n", "version: input should be 1, not 2"),
        (b"pins: [\n", "did not find expected node content"),
        (b"\xff\x00", "it is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_baseline_is_named_with_a_way_out(
    gbench: Gbench, tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "cndb" / "baselines" / "b.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    for command in (
        ("compare", "baseline:b", "slow.yaml"),
        ("cndb", "baseline", "refresh", "b", "runs", "--reason", "x"),
    ):
        answer = gbench(*command)
        assert (answer.code, answer.out, answer.err.count("\n")) == (4, "", 1)
        assert "cndb/baselines/b.yaml " in answer.err and f"({why})" in answer.err
        assert answer.err.endswith("; restore it from version control, or remove it and set it again\n")
    path.unlink()
    assert gbench("cndb", "baseline", "set", "b", "runs", "--reason", "x").code == 0
