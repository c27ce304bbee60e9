"""`gbench replay`: report what can't be reproduced, rerun, and compare."""

from __future__ import annotations

import io
import math
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import Answer

from drawn_records import PLAIN
from gbench.base.paths import project_file
from gbench.cndb.identity import sealed
from gbench.cndb.record import checked
from gbench.cndb.record_file import read_record, write_record
from gbench.errors import InfrastructureError, UsageError
from gbench.experiments.recorded_spec import Recorded
from gbench.experiments.replay import Redirect, losses_said, plan, require_meaningful
from gbench.machine import provenance
from gbench.runfolder.folder import RunFolder
from gbench.runners import engine
from gbench.settings.spec import RunSpec
from run_folders import write_run

SCRIPT = """
echo "network:mine, batch size:$BATCH_SIZE, device count:$DEVICE_COUNT, dpf mode:Single, precision:$PRECISION, \
throughput:${RATE:-100} samples/s, device:Card X, dataset:$DATASETS" >> "$BENCHMARK_LOG"
"""
IMAGE_ID = "sha256:" + "ab" * 32


@pytest.fixture
def recorded(gbench: Callable[..., Answer], facades: Path, tmp_path: Path) -> Path:
    """The record of a run with a user's own run script."""
    (tmp_path / "mine.sh").write_text(SCRIPT)
    shutil.copytree(facades, tmp_path / "here")
    arguments = ["--device", "cpu", "--runner", "local", "--datasets-dir", "here", "--dataset", "synthetic", "-q"]
    arguments += ["--run-model-file", "mine.sh", "--env", "RATE=100", "--seed", "5", "--steps", "27"]
    answer = gbench("launch", "pix2pix_resnet_9blocks", 8, 1, "FP32", *arguments)
    assert answer.code == 0, answer.err
    (path,) = (tmp_path / "cndb" / "records").iterdir()
    return path


def fields(said: Any) -> dict[str, Any]:
    return {one["field"]: one for one in said["not_reproduced"]}


def test_a_record_is_run_again_as_it_was(gbench: Callable[..., Answer], recorded: Path, tmp_path: Path) -> None:
    dry = gbench("replay", recorded, "--dry-run", "--json").json
    assert not {"dataset_sha256", "run_script", "device", "runner"} & fields(dry).keys()
    assert (dry["spec"]["seed"], dry["spec"]["config"]["schedule"]["max_steps"]) == (5, 27)
    assert dry["spec"]["env"] == {"RATE": "100"} == {"RATE": dry["request"]["environment"]["RATE"]}
    assert dry["origins"]["results_dir"] == "this machine"
    assert len(list((tmp_path / "results").iterdir())) == 1

    answer = gbench("replay", recorded, "--json", "--results", "again", "--run-sd", "0.1%")
    assert answer.code == 0, answer.err
    assert answer.json["verdict"] == "no regression"
    assert answer.json["figures"][0]["new"] == pytest.approx(100)
    assert answer.json["base"] == [str(recorded)]
    assert answer.json["runs"] == [str(path) for path in (tmp_path / "again").iterdir()]
    new = yaml.safe_load(Path(answer.json["new"][0]).read_text())
    assert new["extra"]["command_line"].startswith("gbench replay")


def test_runs_before_one_that_failed_can_be_compared(
    gbench: Callable[..., Answer], recorded: Path, tmp_path: Path
) -> None:
    script = tmp_path / "mine.sh"
    script.write_text('[ "$(ls "$(dirname "$RUN_DIR")" | wc -l)" = 2 ] && exit 9\n' + SCRIPT)
    answer = gbench("replay", recorded, "--results", "again", "--repeats", 3, "--allow", "run_script", "-q", "--trust")
    assert answer.code == 4  # 1 is a regression
    said, _, command = answer.err.strip().partition("; one run before it ended well: ")
    assert "the run script ended with exit code 9" in said
    assert gbench(*shlex.split(command)[1:], "--run-sd", "0.1%").code == 0


def test_what_would_make_the_comparison_meaningless_is_refused(
    gbench: Callable[..., Answer], recorded: Path, tmp_path: Path
) -> None:
    """Another dataset or script: each is reported, refused, and can be allowed by its name."""
    shutil.rmtree(tmp_path / "here" / "val")
    (tmp_path / "here" / "manifest.json").unlink()
    with (tmp_path / "mine.sh").open("a") as script:
        script.write("true\n")
    dry = gbench("replay", recorded, "--dry-run")
    assert dry.code == 0
    lines = dry.out.splitlines()
    assert lines[0].startswith("not reproduced: dataset_sha256: ")
    assert lines[0].endswith("refused without --allow dataset_sha256")
    assert any(line.startswith("not reproduced: run_script: ") for line in lines)
    refused = gbench("replay", recorded)
    assert refused.code == 2
    last = refused.err.splitlines()[-1]
    assert f"the run would not be of the same thing as {recorded}: dataset_sha256: " in last
    assert last.endswith("if that is meant, give --allow dataset_sha256 --allow run_script")
    assert len(list((tmp_path / "results").iterdir())) == 1
    allowed = gbench(
        "replay", recorded, "--allow", "dataset_sha256", "--allow", "run_script", "--trust", "--run-sd", "0.1%"
    )
    assert allowed.code == 0, allowed.err
    assert "note: allowed to differ: dataset_sha256: " in allowed.out
    assert "not reproduced: run_script: " in allowed.out


def test_what_is_the_other_machines_is_redirected(
    gbench: Callable[..., Answer], recorded: Path, tmp_path: Path
) -> None:
    (tmp_path / "here").rename(tmp_path / "moved")
    (tmp_path / "mine.sh").rename(tmp_path / "my.sh")
    missing = gbench("replay", recorded, "--dry-run")
    assert missing.code == 2
    assert "run script" in missing.err and "give it with --run-model-file" in missing.err
    there = gbench("replay", recorded, "--run-model-file", "my.sh", "--dry-run", "--json").json
    assert fields(there)["dataset_sha256"]["here"].startswith("unavailable (DATASETS_DIR is ")
    moved = gbench(
        "replay", recorded, "--run-model-file", "my.sh", "--datasets-dir", "moved", "--dry-run", "--json"
    ).json
    assert not {"dataset_sha256", "run_script"} & fields(moved).keys()
    assert moved["spec"]["datasets_dir"] == str(tmp_path / "moved")


def test_what_is_missing_here_is_no_difference_to_allow(
    gbench: Callable[..., Answer], recorded: Path, tmp_path: Path
) -> None:
    (tmp_path / "here").rename(tmp_path / "moved")
    gone = gbench("replay", recorded)
    assert (gone.code, gone.err.splitlines()[0].startswith("not reproduced: dataset_sha256: ")) == (4, True)
    assert "error: DATASETS_DIR is " in gone.err and "--allow" not in gone.err
    variables = {"DATASETS_DIR": "moved", "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    docker = gbench("replay", recorded, "--runner", "docker", **variables)
    assert (docker.code, "error: Docker can't be used" in docker.err) == (4, True), docker.err
    assert len(list((tmp_path / "results").iterdir())) == 1


STRANGE = (
    *("BASH_ENV", "ENV", "LD_PRELOAD", "PYTHONSTARTUP", "PATH", "BASH_FUNC_ls", "NCCL_NET_PLUGIN", "HOME", "CC"),
    *("OPENSSL_CONF", "OMP_TOOL_LIBRARIES", "LOCPATH", "MPLBACKEND", "NVCC_APPEND_FLAGS", "NCCL_CONF_FILE"),
)


def altered(recorded: Path, to: Path, **spec: Any) -> Path:
    """A copy of a record with another spec."""
    record = yaml.safe_load(recorded.read_text())
    record["extra"]["spec"].update(spec)
    to.write_text(yaml.safe_dump(record))
    return to


@pytest.mark.parametrize("how", ["changed", "without its folder", "in a stranger's folder"])
def test_a_strangers_record_runs_only_with_trust(
    gbench: Callable[..., Answer], recorded: Path, tmp_path: Path, how: str
) -> None:
    """One that was changed; an unchanged one; one in a CNDB folder and of a run folder that came with it."""
    (run,) = (tmp_path / "results").iterdir()
    strangers = recorded
    if how == "changed":
        altered(recorded, recorded, env={"RATE": "100", "TITLE": "\x1b[2J"})
        write_record(sealed(read_record(recorded)), tmp_path / "cndb", run.name)
    elif how == "without its folder":
        run.rename(tmp_path / "elsewhere")
        run.mkdir()
    else:
        (run / ".own").write_text("0" * 64)
        strangers = run
    refused = gbench("replay", strangers)
    assert refused.code == 2 and refused.err.splitlines()[-1].endswith("then give --trust")
    assert f"run script    {tmp_path / 'mine.sh'} (SHA-256 " in refused.err and "RATE=100" in refused.err
    assert "\x1b" not in refused.err
    assert len(list((tmp_path / "results").iterdir())) == 1
    assert gbench("replay", strangers, "--dry-run").code == 0
    assert gbench("replay", strangers, "--trust", "--run-sd", "0.1%").code == 0


def test_a_record_of_ones_own_run_needs_none_anywhere(
    gbench: Callable[..., Answer], recorded: Path, tmp_path: Path
) -> None:
    """Unless it names another image."""
    moved = recorded.rename(tmp_path / "r.yaml")
    assert gbench("replay", moved, "--results", "again", "--run-sd", "0.1%").code == 0
    record = yaml.safe_load(moved.read_text())
    record["soft_info"]["image_id"] = IMAGE_ID
    moved.write_text(yaml.safe_dump(record))
    assert "then give --trust" in gbench("replay", moved).err


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("\n", 2)])
def test_on_a_terminal_a_strangers_record_is_asked_about(
    gbench: Callable[..., Answer], recorded: Path, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", keyboard := io.StringIO(typed))
    monkeypatch.setattr(keyboard, "isatty", lambda: True)
    answer = gbench("replay", altered(recorded, recorded, seed=7), "--run-sd", "0.1%")
    assert answer.code == code, answer.err


def test_variables_that_execute_never_come_from_a_record(
    gbench: Callable[..., Answer], recorded: Path, tmp_path: Path
) -> None:
    commands = dict.fromkeys(STRANGE, f"$(touch {tmp_path}/executed)")
    strangers = altered(recorded, tmp_path / "r.yaml", env={"RATE": "100", **commands})
    refused = gbench("replay", strangers, "--trust")
    assert refused.code == 2 and refused.err.rstrip().endswith("give --allow env")
    assert all(name in refused.err for name in STRANGE)
    answer = gbench("replay", strangers, "--trust", "--allow", "env", "--json", "--run-sd", "0.1%")
    assert answer.code == 0, answer.err
    assert RunFolder(Path(answer.json["runs"][0])).spec().env == {"RATE": "100"}
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("sha256", ["c0ffee", None])
def test_a_script_that_a_record_names_is_refused(
    gbench: Callable[..., Answer], recorded: Path, tmp_path: Path, sha256: str | None
) -> None:
    """With another hash, also if the record says that the script is a recipe's; without a hash, it needs --trust."""
    record = yaml.safe_load(recorded.read_text())
    record["extra"] |= {"run_script_sha256": sha256, "spec": {**record["extra"]["spec"], "recipe": "performance"}}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(record))
    refused = gbench("replay", "r.yaml", *(["--trust"] if sha256 else []))
    assert refused.code == 2 and ("--allow run_script" if sha256 else "--trust") in refused.err


def test_wrong_words(gbench: Callable[..., Answer], recorded: Path) -> None:
    field = gbench("replay", recorded, "--allow", "colour")
    assert (field.code, "--allow 'colour' is no field of the record" in field.err) == (2, True)
    runner = gbench("replay", recorded, "--runner", "podman")
    assert (runner.code, "--runner 'podman'" in runner.err) == (2, True)


def test_a_deterministic_run_has_the_same_losses_again(
    gbench: Callable[..., Answer], small_launch: list[str], tmp_path: Path
) -> None:
    arguments = [*small_launch, "--steps", 6, "--warmup", 2, "--deterministic", "-q"]
    assert gbench("launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *arguments).code == 0
    (run,) = (tmp_path / "results").iterdir()
    answer = gbench("replay", run, "--json")
    assert answer.code in (0, 1, 3), answer.err  # of the speed of six steps nothing is asked
    assert answer.json["losses"] == "losses of 6 steps equal to the last digit"
    text = gbench("replay", run, "--dry-run")
    assert text.code == 0 and "# the exact request; nothing was started" in text.out


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, "losses of 12 steps equal to the last digit"),
        ({5: 2.0000000000000004}, "losses differ from step 5 on"),
        ({12: math.nan}, "losses differ from step 12 on"),
    ],
)
def test_from_which_step_on_losses_differ(make_spec: Callable[..., RunSpec], other: Any, said: str) -> None:
    """One that diverged in step 3 has the same NaN again."""

    def folder(losses: dict[int, float]) -> RunFolder:
        return write_run(make_spec(), losses=lambda step: {"G_L1": losses.get(step, math.nan if step == 3 else 2.0)})

    assert losses_said(folder({}), folder(other)) == said


def test_without_steps_there_is_nothing_to_say(make_spec: Callable[..., RunSpec]) -> None:
    assert losses_said(write_run(make_spec()), write_run(make_spec(), steps=0)) is None


def test_paths_of_another_machine_become_the_projects_own(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    gone = {"run_model_file": "/gone/pt-pix2pix.sh", "dockerfile": "/gone/Dockerfile", "config_dir": "/gone/configs"}
    spec = make_spec().model_copy(update={**gone, "dataset_subdir": "elsewhere"})
    environ = {"CNDB_DIR": str(tmp_path / "mine"), "CUDA_VISIBLE_DEVICES": "1"}
    replay = plan(recorded_with(spec), Redirect(), environ, rebuild=False, allowed=())
    here = replay.spec
    own = [str(project_file(name)) for name in ("scripts/pt-pix2pix.sh", "Dockerfile", "configs")]
    assert [here.run_model_file, here.dockerfile, here.config_dir] == own
    assert (here.cndb_dir, here.dataset_subdir, here.cuda_visible_devices) == (str(tmp_path / "mine"), "", None)
    origins = replay.resolved.origins
    assert {origins[name] for name in ("RUN_MODEL_FILE", "DOCKERFILE", "CONFIG", "CNDB_DIR")} == {"this machine"}
    assert {origins[name] for name in ("seed", "network.ngf", "DATASETS")} == {"record"}
    cuda = recorded_with(spec.model_copy(update={"device": "cuda"}))
    assert plan(cuda, Redirect(), environ, rebuild=False, allowed=()).spec.cuda_visible_devices == "1"


def test_the_run_script_is_the_one_that_was_recorded(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    """The script at the recorded path if unchanged, else the project's script of that name if it matches."""
    own, there = project_file("scripts/pt-pix2pix.sh"), tmp_path / "pt-pix2pix.sh"
    spec = make_spec().model_copy(update={"run_model_file": str(there)})
    for text, sha256, chosen in (
        (own.read_text(), provenance.file_sha256(own), there),
        ("changed", provenance.file_sha256(own), own),
        ("changed", "c0ffee", there),
    ):
        there.write_text(text)
        recorded = recorded_with(spec, run_script_sha256=sha256)
        assert plan(recorded, Redirect(), {}, rebuild=False, allowed=()).spec.run_model_file == str(chosen)


def test_a_record_that_contradicts_itself_is_refused(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec().model_copy(update={"batch_size": 5, "device_count": 2})
    with pytest.raises(UsageError, match="BATCH_SIZE 5"):
        plan(recorded_with(spec), Redirect(), {}, rebuild=False, allowed=())


def recorded_with(spec: RunSpec, **extra: Any) -> Recorded:
    """A drawn record of a run by `spec`."""
    values = {**PLAIN, "soft_info": None, "hard_info": None, "extra": {"run_id": "R1", **extra}}
    return Recorded("record.yaml", checked(values, "a drawn record"), spec)


class Engine:
    """A Docker engine that has some images."""

    def __init__(self, *ids: str) -> None:
        self.images, self.ids = self, ids

    def get(self, name: str) -> Any:
        import docker.errors

        if name not in self.ids:
            raise docker.errors.ImageNotFound(name)
        return type("Image", (), {"id": IMAGE_ID})()


@pytest.fixture
def in_a_container(make_spec: Callable[..., RunSpec]) -> Recorded:
    spec = make_spec(runner="docker", from_image="registry.example/base:1")
    soft = {"name": "gbench:pix2pix-0123", "image_id": IMAGE_ID, "image_digests": ["registry.example/gbench@sha256:cd"]}
    record = checked({**PLAIN, "soft_info": soft, "hard_info": None, "extra": {"run_id": "R1"}}, "a drawn record")
    return Recorded("record.yaml", record, spec)


@pytest.mark.parametrize("name", [IMAGE_ID, "registry.example/gbench@sha256:cd"])
def test_the_recorded_image_is_what_runs(in_a_container: Recorded, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(engine, "connect", lambda: Engine(name))
    replay = plan(in_a_container, Redirect(), {}, rebuild=False, allowed=())
    assert (replay.spec.image, replay.spec.from_image, replay.image_may_differ) == (IMAGE_ID, None, True)
    require_meaningful(replay, ())
    assert replay.comparable(["run_script"]) == ["image", "machine"]


def test_an_image_that_is_not_here_is_refused_or_built(
    in_a_container: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "connect", Engine)
    replay = plan(in_a_container, Redirect(), {}, rebuild=False, allowed=())
    assert replay.mismatches[0].field == "image"
    assert "docker pull registry.example/gbench@sha256:cd may fetch it" in str(replay.mismatches[0])
    with pytest.raises(UsageError, match="--allow image, or --rebuild for an image of the present sources"):
        require_meaningful(replay, ())
    require_meaningful(replay, ["image"])
    assert replay.spec.image == in_a_container.spec.image
    rebuilt = plan(in_a_container, Redirect(), {}, rebuild=True, allowed=())
    require_meaningful(rebuilt, ())
    assert rebuilt.comparable([]) == ["image", "machine"]


def test_without_docker_the_image_is_not_known(in_a_container: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise InfrastructureError("Docker can't be used", "start it")

    monkeypatch.setattr(engine, "connect", none)
    replay = plan(in_a_container, Redirect(), {}, rebuild=False, allowed=())
    assert replay.mismatches[0].here == "not known (Docker can't be used)"
    local = plan(in_a_container, Redirect(runner="local"), {}, rebuild=True, allowed=())
    assert [one.field for one in local.mismatches if one.refused] == ["image"]
    with pytest.raises(UsageError, match=r"give --allow image$"):  # --rebuild would not help
        require_meaningful(local, ())
