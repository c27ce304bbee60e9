"""launch.sh's own files and folders: its scripts and Dockerfile are recognised, its output folders are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbench.base.paths import project_file
from gbench.errors import InfrastructureError, UsageError
from gbench.settings.launch_sh_files import require_for_gbench
from gbench.settings.request import Request
from gbench.settings.resolve import Resolved, resolve

OWN_DOCKERFILE = project_file("Dockerfile")


def ask(environ: dict[str, str], **changes: object) -> Resolved:
    values = {"model": "pix2pix_unet_128", "batch_size": 8, "device_count": 1, "precision": "FP32"}
    return resolve(Request(**{**values, **changes}), environ)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("pt-pix2pix.sh", 'docker exec -it "${CONT_NAME}" true', ["CONT_NAME", "RUN_MODEL_FILE={project}"]),
        ("pt-pix2pix-convergency.sh", "train > $RESULT_DIR/log", ["RESULT_DIR", "RUN_MODEL_FILE={project}"]),
        ("pt-resnet.sh", "set -e\necho done >> ${RESULT_DIR}/log", ["RESULT_DIR", "docs/run-scripts.md"]),
    ],
)
def test_scripts_of_launch_sh_are_refused(name: str, text: str, parts: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as error:
        ask({"RUN_MODEL_FILE": str(tmp_path / name)})
    said = str(error.value)
    assert said.startswith(f"RUN_MODEL_FILE {tmp_path / name} is a script for launch.sh: it needs ")
    for part in parts:
        assert part.format(project=project_file(f"scripts/{name}")) in said


@pytest.mark.parametrize(
    "text",
    [
        'eval "exec $TORCHRUN"',
        "# what launch.sh wrote to $RESULT_DIR\ntrue",
        "RESULT_DIR=$RUN_DIR/mine\ntrue > $RESULT_DIR/log",
        "true > ${RESULT_DIR:-.}/log",
        ': "${RESULT_DIR:=.}"\ntrue > $RESULT_DIR/log',
        "true > $GIVEN_RESULT_DIR/log",
        b"# caf\xe9\ntrue",
    ],
)
def test_other_run_scripts_are_run(text: str | bytes, tmp_path: Path) -> None:
    script = tmp_path / "pt-pix2pix.sh"
    script.write_bytes(text if isinstance(text, bytes) else text.encode())
    require_for_gbench(script, OWN_DOCKERFILE, {})


def test_a_variable_of_the_user_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("true > $RESULT_DIR/log")
    require_for_gbench(tmp_path / "run.sh", None, {"RESULT_DIR": "/tmp"})


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("FROM a/pytorch\nRUN git clone https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix.git && true", True),
        ("FROM a/gbench\nRUN git clone https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix", False),
        ("FROM a\nCOPY . .\nRUN git clone https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix", False),
        ("FROM mine", False),
    ],
)
def test_the_dockerfile_of_launch_sh(text: str, refused: bool, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(text)
    environ = {"DOCKERFILE": str(dockerfile)}
    ask(environ, runner="local", device="cpu")  # no image is built
    if not refused:
        ask(environ)
        return
    with pytest.raises(UsageError, match=rf"^DOCKERFILE {dockerfile} is launch.sh's: .*; unset DOCKERFILE"):
        ask(environ)


def test_a_file_that_cant_be_read(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"^RUN_MODEL_FILE .* can't be read \(Is a directory\)"):
        require_for_gbench(tmp_path, None, {})


def test_an_empty_config_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"it holds no MODEL\.yaml: unset CONFIG for the project's own"):
        ask({"CONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    ("environ", "option", "results", "logs"),
    [
        ({}, None, ("results", "default"), ("logs", "default")),
        ({"WORK_DIR": "/w"}, None, ("/w/results", "variable WORK_DIR"), ("/w/logs", "variable WORK_DIR")),
        ({"WORK_DIR": "/w", "LOG_DIR": "/l"}, None, ("/w/results", "variable WORK_DIR"), ("/l", "variable LOG_DIR")),
        ({"RESULT_DIR": "/r", "LOG_DIR": ""}, None, ("/r", "variable RESULT_DIR"), ("logs", "default")),
        ({"RESULT_DIR": "/r", "WORK_DIR": "/w"}, "o", ("o", "option"), ("/w/logs", "variable WORK_DIR")),
    ],
)
def test_output_folders(
    environ: dict[str, str], option: str | None, results: tuple[str, str], logs: tuple[str, str]
) -> None:
    resolved = ask(environ, results_dir=option)
    assert (resolved.spec.results_dir, resolved.origins["results_dir"]) == (str(Path(results[0]).resolve()), results[1])
    assert (resolved.spec.logs_dir, resolved.origins["logs_dir"]) == (str(Path(logs[0]).resolve()), logs[1])


def test_datestamp_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"^DATESTAMP '231101' has no effect: .*; unset DATESTAMP$"):
        ask({"DATESTAMP": "231101"})
