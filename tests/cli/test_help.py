"""The help is complete and fast, and its statements are true."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from support import Answer

from gbench import __version__
from gbench.cli import COMMANDS, cli
from gbench.settings.request import VARIABLE_FIELDS


def commands() -> list[tuple[str, click.Command]]:
    """Every command and subcommand under its full name."""
    context = click.Context(cli, info_name="gbench")

    def below(group: click.Group, prefix: str) -> list[tuple[str, click.Command]]:
        found: list[tuple[str, click.Command]] = []
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found.append((prefix + name, command))
            if isinstance(command, click.Group):
                found += below(command, f"{prefix}{name} ")
        return found

    return below(cli, "")


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_every_verb_says_what_it_does_and_shows_an_example(name: str, command: click.Command) -> None:
    assert command.help
    if not isinstance(command, click.Group):
        assert f"gbench {name}" in command.help
    undescribed = [
        p.name for p in command.params if isinstance(p, click.Option) and not (p.help or p.type.name == "choice")
    ]
    assert not undescribed


def test_help_lists_every_verb(gbench: Callable[..., Answer]) -> None:
    for flag in ("-h", "--help"):
        out = gbench(flag).out
        assert all(f"  {name} " in out for name in COMMANDS)


def test_launch_help_names_every_variable(gbench: Callable[..., Answer]) -> None:
    out = " ".join(gbench("launch", "--help").out.split())
    assert len(VARIABLE_FIELDS) == 8
    assert all(f"Variable: {variable}." in out for variable in VARIABLE_FIELDS)


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from gbench.cli import cli; cli(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for module in ("torch", "docker", "pydantic", "numpy", "matplotlib", "sqlalchemy", "yaml"):
        assert f"'{module}'" not in out


def test_launch_loads_no_torch_on_the_host() -> None:
    code = "import sys; import gbench.runs.launch, gbench.runners.docker; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


def test_version(gbench: Callable[..., Answer]) -> None:
    assert gbench("--version").out == f"gbench {__version__}\n"
    everything = gbench("--version", "all").out
    assert all(f"\n{name} " in everything for name in ("python", "torch", "nvidia-driver", "docker-engine"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_our_verbs(gbench: Callable[..., Answer], shell: str) -> None:
    assert "_GBENCH_COMPLETE" in gbench("completion", shell).out
    current = "la" if shell == "fish" else "1"  # fish gives the word itself, the others its place
    words = gbench(_GBENCH_COMPLETE=f"{shell}_complete", COMP_WORDS="gbench la", COMP_CWORD=current).out
    assert "launch" in words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_no_error(gbench: Callable[..., Answer], tmp_path: Path, shell: str) -> None:
    for name in ("20260101T000000Z-\udcff", "20260101T000000Z-\n", "20260101T000000Z-m"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "spec.json").touch()
    (tmp_path / "gbench.yaml").write_text("x: [")

    def completed(line: str, **variables: str) -> str:
        place = line.split(" ")[-1] if shell == "fish" else str(line.count(" "))
        answer = gbench(_GBENCH_COMPLETE=f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=place, **variables)
        assert (answer.code, answer.err) == (0, "")
        return answer.out

    runs = completed("gbench summary 2026")
    assert runs.count("20260101T000000Z-") == runs.count("20260101T000000Z-m") == 1
    assert "latest" in completed("gbench summary ", GBENCH_DEFAULTS="gbench.yaml")
    completed("gbench report --out \udcff")
    completed("gbench launch --config /nowhere pix")


def test_a_name_that_is_not_utf_8(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "results" / "20260101T000000Z-\udcff").mkdir(parents=True)
    (tmp_path / "results" / "20260101T000000Z-\udcff" / "spec.json").touch()
    for more in ([], ["--json"]):
        done = subprocess.run([sys.executable, "-m", "gbench", "runs", *more], cwd=tmp_path, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert (b"20260101T000000Z-\xff" in done.stdout) is bool(more)


def suggested(gbench: Callable[..., Answer], line: str, **variables: str) -> list[str]:
    """What bash suggests for the last word of a command line."""
    place = str(line.count(" "))
    out = gbench(_GBENCH_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=place, **variables).out
    return [word.partition(",")[2] for word in out.split()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gbench launch pix2pix_u", ["pix2pix_unet_128", "pix2pix_unet_256"]),
        ("gbench models pix2pix_resnet_6", ["pix2pix_resnet_6blocks"]),
        ("gbench cndb list --model pix2pix_unet_2", ["pix2pix_unet_256"]),
        ("gbench launch pix2pix_unet_128 4 1 f", ["FP32"]),
        ("gbench converge pix2pix_unet_128 4 1 b", ["BF16"]),
        ("gbench sweep pix2pix_unet_128 --precisions FP32,t", ["FP32,TF32"]),
        ("gbench tune pix2pix_unet_128 4 1 FP32 --device c", ["cuda", "cpu"]),
        ("gbench check --runner l", ["local"]),
        ("gbench replay x.yaml --runner d", ["docker"]),
        ("gbench launch --profile o", ["optimized"]),
        ("gbench launch pix2pix_unet_128 4 1 FP32 --set network.ng", ["network.ngf="]),
        ("gbench eval x.pt --set network.netg", ["network.netG="]),
        ("gbench launch --set nothing", []),
        ("gbench report --ou", ["--out"]),
        ("gbench eval --dev", ["--device", "--device-count"]),
    ],
)
def test_completion_knows_values(gbench: Callable[..., Answer], line: str, words: list[str]) -> None:
    assert sorted(suggested(gbench, line)) == sorted(words)


def test_completion_knows_runs(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    for name in ("20260101T000000Z-m-1a2b3c", "20260102T000000Z-m-1a2b3c"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "spec.json").touch()
    runs = ["20260102T000000Z-m-1a2b3c", "20260101T000000Z-m-1a2b3c"]
    assert suggested(gbench, "gbench summary 2026") == runs
    assert suggested(gbench, "gbench converge --resume 20260102") == runs[:1]
    assert suggested(gbench, "gbench watch l") == ["latest"]
    assert suggested(gbench, "gbench watch ./") == ["./"]  # bash completes files itself
    assert suggested(gbench, "gbench launch pix2pix", CONFIG="nowhere") == []


def test_options_have_one_set_of_names() -> None:
    names: dict[str | None, set[tuple[str, ...]]] = {}
    for _, command in commands():
        for one in command.params:
            if isinstance(one, click.Option):
                names.setdefault(one.name, set()).add(tuple(one.opts))
    assert {name: flags for name, flags in names.items() if len(flags) > 1} == {}


@pytest.mark.parametrize(
    ("command", "former", "now"),
    [
        ("report", "--output", "--out"),
        ("eval", "--batch", "--per-device-batch-size"),
        ("eval", "--devices", "--device-count"),
    ],
)
def test_former_names_work_and_are_not_shown(
    gbench: Callable[..., Answer], command: str, former: str, now: str
) -> None:
    out = gbench(command, "--help").out
    assert now in out and f"{former} " not in out
    assert "no such option" not in gbench(command, former, "1").err.lower()
    assert "no such option" in gbench(command, f"{former}x", "1").err.lower()


def test_models_lists_what_can_be_launched(gbench: Callable[..., Answer]) -> None:
    assert set(gbench("models", "--json").json) == {
        "pix2pix_resnet_9blocks",
        "pix2pix_resnet_6blocks",
        "pix2pix_unet_256",
        "pix2pix_unet_128",
    }
    values = gbench("models", "pix2pix_unet_128", "--recipe", "convergence", "--json").json
    assert values["network"]["netG"] == "unet_128"
    assert values["schedule"]["epochs_decay"] == 100


def test_check_says_what_is_missing_and_how_to_fix_it(gbench: Callable[..., Answer], facades: object) -> None:
    fit = gbench("check", "--device", "cpu", "--runner", "local", "--datasets-dir", facades)
    assert fit.code == 0
    assert "fit for local on cpu" in fit.out
    unfit = gbench("check", "--device", "cpu", "--runner", "local", "--json")
    assert unfit.code == 1
    (dataset,) = [check for check in unfit.json["checks"] if check["id"] == "dataset"]
    assert dataset["severity"] == "error"
    assert "gbench data prepare" in dataset["mend"]


@pytest.mark.parametrize(
    ("verb", "option", "default"), [("launch", "rdzv-timeout", "600s"), ("check", "rdzv-timeout", "600s")]
)
def test_a_default_is_written_as_the_option_takes_it(
    gbench: Callable[..., Answer], verb: str, option: str, default: str
) -> None:
    words = " ".join(gbench(verb, "--help").out.split())
    assert f"[default: {default}]" in words.partition(f"--{option} TIME")[2][:200]
