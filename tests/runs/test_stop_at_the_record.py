"""A stop while a run's record is written, queued or stored: the database gets it later, and the message says how."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.cli.shared.output import Terminal
from gbench.cndb import upload
from gbench.errors import Interrupted
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import StepWriter
from gbench.runs import finish, launch
from gbench.settings.spec import RunSpec

LINE = (
    "network:n, batch size:1, device count:1, dpf mode:Single, precision:FP32, throughput:1 img/s, device:X, dataset:d"
)


@pytest.mark.parametrize(
    ("where", "said"),
    [("write_record", "its run folder is "), ("publish", "the run was complete; its record is ")],
)
def test_a_stop_leaves_the_record_queued(
    gbench: Callable[..., Answer], facades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, said: str
) -> None:
    """Stopped between the spool entry and the record's file, or between that and the database."""

    def stopped(*arguments: object) -> None:
        raise Interrupted("stopped by SIGTERM", "what the run had written is kept")

    (tmp_path / "mine.sh").write_text(f'echo "{LINE}" >> "$BENCHMARK_LOG"\n')
    run = ["pix2pix_resnet_9blocks", 1, 1, "FP32", "embedded", "--device", "cpu", "--runner", "local", "-q"]
    with monkeypatch.context() as patch:
        patch.setattr(finish, where, stopped)
        answer = gbench("launch", *run, "--datasets-dir", facades, "--run-model-file", "mine.sh")
    assert answer.code == 130 and said in answer.err, answer.err
    records = list((tmp_path / "cndb" / "records").glob("*.yaml"))
    assert [str(path) for path in records if str(path) in answer.err] == [str(path) for path in records]
    assert len(upload.waiting(tmp_path / "cndb")) == 1
    command = answer.err.strip().rpartition("; store its record: ")[2]
    sent = gbench(*shlex.split(command)[1:])
    assert (sent.code, "1 sent, 0 still waiting" in sent.out) == (0, True), sent.err


def test_a_stopped_convergence_run_names_its_resumption(
    make_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object) -> None:
        raise Interrupted("stopped by Ctrl-C", "what the run had written is kept")

    spec = make_spec(settings=("schedule.checkpoint_every=1",))
    monkeypatch.setattr(launch, "prepare", stopped)
    with pytest.raises(Interrupted) as nothing_yet:
        launch.launch(spec, {}, Terminal(quiet=True))
    assert nothing_yet.value.hint == "what the run had written is kept"
    folder = RunFolder.create(spec)
    with StepWriter(folder.path, 0), pytest.raises(Interrupted) as begun:
        launch.launch(spec, {}, Terminal(quiet=True))
    assert begun.value.hint == f"its run folder is {folder.path}; go on with gbench converge --resume {folder.path}"
