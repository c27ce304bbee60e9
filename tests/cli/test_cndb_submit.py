"""`cndb_submit`, the original's command, with its flags."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer

from gbench.cli.cndb_submit import main

GOOD = ["--model", "m", "--framework", "PyTorch", "--dataset", "d", "--dev", "V100", "--dev_num", "1"]
PERF = ["--perf_data", '{"throughput": "22.9 img/s"}']
SQLITE = ["--db_config", '{"schema": "sqlite", "database": "x.sqlite"}']


@pytest.fixture
def cndb_submit(tmp_path: Path) -> Callable[..., Answer]:
    def run(*arguments: str, **variables: str) -> Answer:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "cndb_submit"), *arguments],
            cwd=tmp_path,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


Submit = Callable[..., Answer]


def test_flags_make_a_record_and_a_row(cndb_submit: Submit, gbench: Callable[..., Answer], tmp_path: Path) -> None:
    soft = tmp_path / "soft.yaml"
    soft.write_text("{name: image:1, cuda_version: 11.3.109}")
    given = [*GOOD, *PERF, "--tags", "a, b", "--extra", '{"NV_Web": "N/A"}', "--soft_file", str(soft)]
    answer = cndb_submit(*given, *SQLITE, "--save_file", "saved.yaml", "--log-level", "info")
    assert (answer.code, answer.out) == (0, "")
    assert "record 1 inserted" in answer.err
    saved = yaml.safe_load((tmp_path / "saved.yaml").read_text())
    assert saved["perf_data"] == {"throughput": 22.9, "throughput_unit": "img/s"}
    assert (saved["tags"], saved["dist_type"], saved["eval_type"]) == (["a", "b"], "single", None)
    (tmp_path / "db.yaml").write_text("{schema: sqlite, database: x.sqlite}")
    assert gbench("cndb", "export", 1, "--db", "db.yaml").out == f"---\n{(tmp_path / 'saved.yaml').read_text()}"


def test_flags_override_a_loaded_record_and_check_it(cndb_submit: Submit, tmp_path: Path) -> None:
    cndb_submit(*GOOD, *PERF, "--save_file", "one.yaml")
    answer = cndb_submit("--load_file", "one.yaml", "--dev", "A100", "--md5", "mine", "--save_file", "two.yaml")
    assert (answer.code, answer.err) == (0, "")
    one, two = (yaml.safe_load((tmp_path / f"{name}.yaml").read_text()) for name in ("one", "two"))
    assert two == {**one, "dev": "A100", "md5_val": "mine"}
    assert not list(tmp_path.glob("**/*.sqlite"))


def test_store_types(cndb_submit: Submit, gbench: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "db.yaml").write_text("{schema: sqlite, database: x.sqlite}")
    for figure, kind in ((1, "save"), (2, "save"), (3, "skip"), (4, "update")):
        perf = json.dumps({"throughput": figure})
        assert cndb_submit(*GOOD, "--perf_data", perf, "--db_file", "db.yaml", "--db_store_type", kind).code == 0
    assert [one["throughput"] for one in gbench("cndb", "list", "--db", "db.yaml", "--json").json] == [2, 4]


def test_every_line_of_a_data_file_is_a_record(
    cndb_submit: Submit, gbench: Callable[..., Answer], tmp_path: Path
) -> None:
    line = "network:m, batch size:32, device count:{n}, precision:FP32, throughput:{n}.5 img/s, device:V100, dataset:d"
    (tmp_path / "b.log").write_text("\n".join(line.format(n=n) for n in (1, 2, 4)))
    answer = cndb_submit("-f", "b.log", "--framework", "PyTorch", "--db_config", '{"uri": "sqlite:///cndb.sqlite"}')
    assert answer.code == 0, answer.err
    assert [one["throughput"] for one in gbench("cndb", "list", "--json").json] == [4.5, 2.5, 1.5]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ([], 1, "error: --model is required"),
        (GOOD[2:], 1, "error: --model is required"),
        ([*GOOD[:2], *GOOD[4:]], 1, "error: --framework is required"),
        ([*GOOD[:8], *PERF], 1, "error: --dev_num must be > 0"),
        ([*GOOD[:8], "--dev_num", "0", *PERF], 1, "error: --dev_num must be > 0"),
        ([*GOOD[:8], "--dev_num", "two", *PERF], 1, "error: argument --dev_num: invalid int value: 'two'"),
        (GOOD, 1, "error: --perf_data or --metric_data is required"),
        ([*GOOD, "--perf_data", "22.9"], 1, "--perf_data is not a JSON mapping"),
        ([*GOOD, "--perf_data", "{"], 1, "--perf_data is not JSON"),
        ([*GOOD, "--perf_data", "[" * 100_000], 1, "--perf_data is not JSON"),
        ([*GOOD, *PERF, "--db_config", "[" * 100_000], 2, "--db_config is not JSON"),
        ([*GOOD, "--perf_data", '{"a": NaN}'], 1, "perf_data.a is nan: not a finite number"),
        ([*GOOD, *PERF, "--soft_info", '{"version": 1}'], 1, "soft_info.name: field required"),
        (["--load_file", "none.yaml"], 1, "none.yaml can't be read"),
        (["-f", "none.log"], 1, "none.log can't be read"),
        ([*GOOD, *PERF, "--save_file", "file/x.yaml"], 4, "can't write file"),
        ([*GOOD, *PERF, "--db_config", "{"], 2, "--db_config is not JSON"),
        ([*GOOD, *PERF, "--db_file", "none.yaml"], 2, "neither a known name nor a config file"),
        ([*GOOD, *PERF, "--db_config", '{"host": "127.0.0.1", "port": 1, "database": "x"}'], 4, "Connection refused"),
        ([*GOOD, *PERF, "--db_config", '{"uri": "sqlite:///x.sqlite", "rebuild": 1}'], 2, "give --yes"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    part: str,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == code
    assert part in capsys.readouterr().err
