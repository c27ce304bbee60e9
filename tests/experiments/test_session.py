"""A session's file: its content, the next side to run, and resumption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from gbench.compare.metrics import metric_named
from gbench.errors import InfrastructureError
from gbench.experiments.ab import ended
from gbench.experiments.session import Order, Session, SessionGoal, SessionRun, read_session
from gbench.settings.literals import MetricName
from gbench.settings.spec import RunSpec

ASKED = SessionGoal(metric="throughput", until_ci=0.01, max_blocks=20, max_time_s=None)


@pytest.fixture
def begun(make_spec: Callable[..., RunSpec]) -> Session:
    return Session(
        session_id="20260101T000000Z-ab-1a2b3c",
        started_utc="2026-01-01T00:00:00.000+00:00",
        command_line="gbench ab a.yaml b.yaml",
        asked=ASKED,
        files={"A": "a.yaml", "B": "b.yaml"},
        specs={"A": make_spec(), "B": make_spec(env={"A": "x"})},
        differences=("env.A: - -> x",),
    )


def with_runs(session: Session, count: int) -> Session:
    for number in range(count):
        run = SessionRun(
            side=session.next_side, run_id=str(number), run_dir="r", record="r", figure=100.0 + number, wall_s=2.0
        )
        session = session.model_copy(update={"runs": (*session.runs, run)})
    return session


@pytest.mark.parametrize(("order", "sides"), [("ABBA", "ABBAABBAABBAABBAA"), ("Thue-Morse", "ABBABAABBAABABBAB")])
def test_sides_take_turns(begun: Session, order: Order, sides: str) -> None:
    session = with_runs(begun.replaced(order=order), 17)
    assert "".join(run.side for run in session.runs) == sides
    assert (session.blocks, session.wall_s) == (4, 34.0)


def test_a_session_of_an_older_version_keeps_its_order(begun: Session, tmp_path: Path) -> None:
    older = begun.model_dump(mode="json")
    del older["order"]
    (tmp_path / "ab.json").write_text(json.dumps(older))
    assert read_session(tmp_path).order == "ABBA"


@pytest.mark.parametrize(("runs", "kept", "then"), [(0, 0, "A"), (5, 4, "A"), (6, 6, "B"), (7, 6, "B"), (8, 8, "A")])
def test_a_run_that_lost_its_partner_counts_no_more(begun: Session, runs: int, kept: int, then: str) -> None:
    session = with_runs(begun, runs).taken_up(Path("/moved"), ASKED)
    assert {spec.results_dir for spec in session.specs.values()} == {"/moved"}
    assert len(session.runs) == runs
    assert ([run.run_id for run in session.used], session.next_side) == ([str(n) for n in range(kept)], then)
    again = with_runs(session, 1).taken_up(Path("/moved"), ASKED)  # interrupted once more
    assert len(again.used) == kept
    assert len(again.runs) == runs + 1


@pytest.mark.parametrize(
    ("changes", "runs", "over"),
    [
        ({}, 0, False),
        ({}, 12, False),
        ({}, 16, True),  # as narrow as asked for
        ({"until_ci": 1e-6}, 16, False),
        ({"until_ci": 1e-6, "max_blocks": 4}, 16, True),
        ({"until_ci": 1e-6, "max_blocks": 4}, 15, False),
        ({"max_blocks": 1}, 5, False),  # a block that was begun is brought to its end
        ({"max_time_s": 7.0}, 3, False),
        ({"max_time_s": 7.0}, 4, True),  # of 2 s each
        ({"max_time_s": 9.0}, 4, False),
    ],
)
def test_when_no_further_run_is_made(begun: Session, changes: dict[str, float], runs: int, over: bool) -> None:
    asked = ASKED.model_copy(update=changes)
    assert ended(with_runs(begun.model_copy(update={"asked": asked}), runs)) is over


def test_it_comes_back_as_it_was_written(begun: Session, tmp_path: Path) -> None:
    session = with_runs(begun, 5)
    session.create(tmp_path / "session", session.specs.values())
    assert read_session(tmp_path / "session") == session


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"has no ab.json; give the folder of a session"),
        (b"\xff", "it is not UTF-8 text"),
        (
            b'{"version": 1',
            r"session that this gbench reads \(invalid JSON: EOF .* line 1 column 13\); .* restore it, or begin a new",
        ),
        (b'{"version": 1}', r"is not a session that this gbench reads \(session_id: field required"),
    ],
)
def test_a_folder_of_no_session(tmp_path: Path, text: bytes | None, said: str) -> None:
    if text is not None:
        (tmp_path / "ab.json").write_bytes(text)
    with pytest.raises(InfrastructureError, match=said):
        read_session(tmp_path)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ('"figure": 100.0', '"figure": 0.0', "figure: input should be greater than 0, not 0.0"),
        ('"figure": 100.0', '"figure": NaN', "figure: input should be a finite number"),
        ('"metric": "throughput"', '"metric": "speed"', "metric: input should be 'throughput', 'latency-p95'"),
        ('"A": "a.yaml",', "", "files: dictionary should have at least 2 items"),
        ('"version": 1', '"version": 2', "version: input should be 1, not 2"),
    ],
)
def test_what_no_session_can_say_is_refused(begun: Session, tmp_path: Path, then: str, now: str, said: str) -> None:
    with_runs(begun, 4).write(tmp_path)
    text = (tmp_path / "ab.json").read_text()
    assert then in text
    (tmp_path / "ab.json").write_text(text.replace(then, now, 1))
    with pytest.raises(InfrastructureError, match=rf"ab.json is not a session .* reads \(.*{said}") as caught:
        read_session(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_command_line_offers_what_a_session_can_measure() -> None:
    assert {metric_named(name).name for name in get_args(MetricName)} == set(get_args(MetricName))
