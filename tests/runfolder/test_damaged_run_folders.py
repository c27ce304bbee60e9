"""A run folder whose JSON lacks keys, holds other values or is damaged: one sentence of every reader, never a bug."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from support import Answer

from gbench.cndb.record_file import read_record
from gbench.cndb.verify import verify
from gbench.compare.sides import read_side
from gbench.convergence.subjects import subject_of
from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.measure.summary import summarize_folder
from gbench.reports import run_page
from gbench.reports.run_data import RunData
from gbench.runfolder.folder import RunFolder
from run_folders import DAMAGED

KEPT = Path(__file__).resolve().parents[1] / "fixtures" / "run-folders-v1"
RUN = "20261129T090254Z-pix2pix_resnet_9blocks-02c16d"
FILES = ("host.json", "environment.json", "result.json", "evaluations/final/evaluation.json")
DEEP: list[Any] = []
for _ in range(150):
    DEEP = [DEEP]
ODD = (None, "odd", -1, [0], {"odd": 0}, 10**30, True, 0, DEEP, "", 1e300)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(KEPT / "results" / RUN, tmp_path / RUN)))


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the plots of pages, which read no JSON file."""

    class NoPlots:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    monkeypatch.setattr(run_page, "plots", NoPlots())
    for name in ("timeline", "plot_card"):
        monkeypatch.setattr(run_page, name, lambda *_: None)


def changed(values: Any) -> Iterator[Any]:
    """Copies of values, each with one key, at any depth, missing or changed."""
    odd = cycle(ODD)
    for place in list(places(values, ())):
        for replace in (False, True):
            again = copy.deepcopy(values)
            inner = again
            for key in place[:-1]:
                inner = inner[key]
            if replace:
                inner[place[-1]] = next(odd)
            else:
                del inner[place[-1]]
            yield again


def places(values: Any, within: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    items = values.items() if isinstance(values, dict) else enumerate(values[:1]) if isinstance(values, list) else ()
    for key, value in items:
        yield (*within, key)
        yield from places(value, (*within, key))


def read_all(folder: RunFolder, name: str = "") -> list[str]:
    """Everything that commands read of a run folder; gives their sentences. A bug is raised.

    Args:
        name: the file that is damaged; the others' readers are left out where nothing else reads it.
    """
    record = read_record(next((KEPT / "records").glob(f"*{RUN}.yaml")))
    readers: list[Callable[[], Any]] = [
        folder.result,
        lambda: summarize_folder(folder),
        lambda: verify(record, folder),
        lambda: read_side(str(folder.path), "BASE"),
        lambda: subject_of(folder.path, None),
        lambda: run_page.page(RunData.read(folder), None),
    ]
    said = []
    for read in readers[:1] if name == "result.json" else readers:
        try:
            read()
        except GbenchError as error:
            said.append(str(error))
    return said


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_read_or_is_one_sentence(folder: RunFolder, name: str) -> None:
    path = folder.path / name
    sentences = set()
    for values in changed(json.loads(path.read_text())):
        path.write_text(json.dumps(values))
        sentences.update(read_all(folder, name))
    assert sentences and not any("\n" in sentence for sentence in sentences)
    assert any(str(path) in sentence for sentence in sentences)


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("name", [*FILES, "spec.json"])
def test_a_damaged_file_is_one_sentence(folder: RunFolder, name: str) -> None:
    path = folder.path / name
    whole = path.read_bytes()
    for text in (*DAMAGED, *(whole[: len(whole) * part // 7] for part in range(1, 7))):
        path.write_bytes(text)
        said = read_all(folder)
        assert text == b'{"version": 1}' or any(str(path) in sentence for sentence in said), text[:20]
        assert not any("\n" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("arguments", "name", "code"),
    [
        (("summary", "RUN"), "environment.json", 4),
        (("report", "RUN"), "host.json", 4),
        (("cndb", "verify", "RECORD", "--run", "RUN"), "host.json", 4),
        (("compare", "RUN", "RECORD"), "environment.json", 4),
    ],
)
def test_the_exit_code_of_a_damaged_file(
    folder: RunFolder, gbench: Callable[..., Answer], arguments: tuple[str, ...], name: str, code: int
) -> None:
    (folder.path / name).write_text('{"version": 1, "hardware": 5}')
    record = next((KEPT / "records").glob(f"*{RUN}.yaml"))
    answer = gbench(*({"RUN": folder.path, "RECORD": record}.get(word, word) for word in arguments))
    assert answer.code == code, answer.err
    assert answer.err.startswith(f"gbench: error: {folder.path / name} is broken (hardware: ")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["spec.json", "environment.json", "host.json"])
def test_only_another_version_asks_for_another_gbench(folder: RunFolder, name: str) -> None:
    path = folder.path / name
    read = {"spec.json": folder.spec, "environment.json": folder.environment, "host.json": folder.host}[name]
    whole = path.read_text()
    version = '"spec_version": 1' if name == "spec.json" else '"version": 1'
    newer = whole.replace(version, f"{version[:-1]}9")
    assert newer != whole
    for text in ("", whole[:60], "[1]", "{}", newer, None):
        if text is None:
            path.unlink()
            path.mkdir()
        else:
            path.write_text(text)
        with pytest.raises(InfrastructureError) as error:
            read()
        assert ("use the gbench version that wrote it" in error.value.hint) == (text == newer), text
        assert text == newer or "restore" in error.value.hint, text


def test_a_deleted_run_folder_is_a_usage_error_of_compare(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_side(str(tmp_path / "gone"), "BASE")


@pytest.mark.parametrize("text", DAMAGED)
def test_the_samples_of_a_run_are_gone(folder: RunFolder, gbench: Callable[..., Answer], text: bytes) -> None:
    (folder.path / "steps-rank0.jsonl").write_bytes(text)
    assert gbench("report", folder.path).code in (0, 4)  # result.json has its figures
    record = next((KEPT / "records").glob(f"*{RUN}.yaml"))
    for arguments in (("cndb", "verify", record, "--run", folder.path), ("summary", folder.path)):
        answer = gbench(*arguments)
        assert answer.code in (1, 4) and len(answer.err.splitlines()) == 1, answer
