"""The docker runner against an engine that answers each request with its documented errors, slowly, partly, or not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import Answer, Engine, wait_until
from gbench.errors import InfrastructureError
from gbench.runners import engine as engine_client
from gbench.runners.docker import DockerRunner
from gbench.runners.plan import Outcome
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]
# The requests of a run, and the statuses that the engine's API (version 1.45) documents for each
DOCUMENTED = {
    "GET /version": (500,),
    "GET /info": (500,),
    "GET /containers/json": (400, 500),
    "GET /images/.*/json": (500,),
    "POST /build": (400, 500),
    "POST /images/create": (404, 500),
    "POST /containers/create": (400, 404, 406, 409, 500),
    "POST /containers/.*/attach": (400, 404, 500),
    "POST /containers/.*/start": (404, 500),
    "POST /containers/.*/wait": (400, 404, 500),
    "GET /containers/.+/json": (404, 500),
}
CLEARING = {"POST /containers/.*/stop": (404, 500), "DELETE /containers/.*": (400, 404, 409, 500)}


@pytest.fixture
def run(make_spec: MakeSpec, engine: Engine, tmp_path: Path) -> Callable[[], Outcome]:
    """Prepares and runs a script in a container of the engine."""
    script, run_dir = tmp_path / "run.sh", tmp_path / "run"
    script.write_text("echo ready; exit 3\n")
    run_dir.mkdir()
    spec = make_spec(runner="docker", run_model_file=str(script), from_image="base:1")

    def call() -> Outcome:
        runner = DockerRunner(spec)
        runner.prepare(lambda line: None)
        return runner.run(run_dir, lambda line: None)

    return call


@pytest.mark.parametrize(("request_", "status"), [(name, one) for name, many in DOCUMENTED.items() for one in many])
def test_a_documented_error_is_one_sentence(
    engine: Engine, run: Callable[[], Outcome], request_: str, status: int
) -> None:
    engine.answers[f"^{request_}$"] = Answer(status, "something that it says")
    with pytest.raises(InfrastructureError, match=r"^Docker can't [^\n]+$") as caught:
        run()
    assert "something that it says" in caught.value.what
    if "/containers/.+/json" in request_ or request_ == "GET /containers/json":
        return  # what would find and remove the container fails too
    assert engine.containers == {}


@pytest.mark.parametrize(("request_", "status"), [(name, one) for name, many in CLEARING.items() for one in many])
def test_a_container_that_can_not_be_cleared_costs_no_run(
    engine: Engine, run: Callable[[], Outcome], request_: str, status: int
) -> None:
    engine.answers[f"^{request_}$"] = Answer(status, "something that it says")
    assert run() == Outcome(3)


@pytest.mark.parametrize("request_", [*DOCUMENTED, *CLEARING])
def test_a_slow_engine_is_waited_for(engine: Engine, run: Callable[[], Outcome], request_: str) -> None:
    engine.answers[f"^{request_}$"] = Answer(delay_s=0.05)
    assert run() == Outcome(3)
    assert engine.containers == {}


@pytest.mark.parametrize("request_", [name for name in DOCUMENTED if "attach" not in name and "start" not in name])
def test_a_part_of_an_answer_is_one_sentence(engine: Engine, run: Callable[[], Outcome], request_: str) -> None:
    engine.answers[f"^{request_}$"] = Answer(cut=True)
    with pytest.raises(InfrastructureError, match=r"^Docker [^\n]+$"):
        run()


def test_an_engine_that_misses_a_look_is_not_given_up(
    engine: Engine, run: Callable[[], Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is given up after three misses in a row; an answer resets the count."""
    monkeypatch.setattr(engine_client, "LOOK_S", 0.01)
    answers, asked = iter([False, False, True] * 3), []
    monkeypatch.setattr(engine_client, "_answers", lambda: asked.append(1) or next(answers, True))
    (tmp_path / "run.sh").write_text(f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; exit 3\n")
    threading.Thread(target=lambda: (wait_until(lambda: len(asked) > 9), (tmp_path / "go").touch())).start()
    assert run() == Outcome(3)


@pytest.mark.parametrize("request_", DOCUMENTED)
def test_an_engine_that_never_answers_is_given_up(
    engine: Engine, run: Callable[[], Outcome], request_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_client, "ANSWER_S", 1)
    monkeypatch.setattr(engine_client, "LOOK_S", 0.1)
    monkeypatch.setattr(engine_client, "LOOKS", 1)

    def all_of_it() -> None:
        engine.answers.clear()
        engine.fall_silent()

    engine.answers[f"^{request_}$"] = Answer(silent=True, then=all_of_it)
    with pytest.raises(InfrastructureError, match=r"^Docker can't [^\n]+$"):
        run()
