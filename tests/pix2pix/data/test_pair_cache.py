"""The file of decoded pairs: created once and atomically, always verified, never above its limit."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gbench.datasets.manifest import dataset_hash
from gbench.datasets.synth import synth
from gbench.errors import InfrastructureError
from gbench.pix2pix.data import pair_cache
from gbench.pix2pix.data.pair_cache import CacheFolder, NoCache, identity_of, map_pairs, prepare
from gbench.pix2pix.data.pair_file import Levels
from gbench.pix2pix.data.pairs import AlignedDataset
from gbench.settings.model_config import DataConfig

PAIR_BYTES = 2 * 3 * 36 * 36
FILE_BYTES = 4096 + 12 * (PAIR_BYTES + 8)
FORK = multiprocessing.get_context("fork")  # a new interpreter would take seconds to load torch


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 train pairs of 40-pixel halves."""
    root = tmp_path_factory.mktemp("drawn") / "set"
    synth(root, {"train": 12}, size=40)
    return root


def dataset_of(root: Path, **changes: object) -> AlignedDataset:
    return AlignedDataset(root, DataConfig.model_validate({"load_size": 36, "crop_size": 32, **changes}), seed=0)


def made(folder: CacheFolder, dataset: AlignedDataset) -> tuple[str, Levels]:
    """Whether the file was found or made, and its content."""
    identity = identity_of(dataset, dataset_hash(dataset.folder.parent))
    how = prepare(folder, dataset, identity)
    return how, map_pairs(folder.file(identity), identity)


def expected(dataset: AlignedDataset) -> Levels:
    return np.stack([dataset.levels(index) for index in range(len(dataset))])


class Maker:
    """A process that makes the file as a run does.

    Args:
        pause_s: for which it waits before each picture. most_bytes: that it may write to a file.
    """

    def __init__(self, root: Path, cache: Path, pause_s: float = 0.0, most_bytes: int | None = None) -> None:
        self._said, theirs = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self._run, args=(theirs, root, cache, pause_s, most_bytes))
        self.process.start()
        theirs.close()

    @staticmethod
    def _run(said: Connection, root: Path, cache: Path, pause_s: float, most_bytes: int | None) -> None:
        class Slow(AlignedDataset):
            def levels(self, index: int) -> Levels:
                time.sleep(pause_s)
                return super().levels(index)

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        try:
            said.send(made(CacheFolder(cache, 1 << 30), Slow(root, dataset_of(root).config, seed=0))[0])
        except NoCache as error:
            said.send(f"no cache: {error}")

    def answer(self) -> str:
        """Whether the file was found or made, or why it is missing."""
        assert self._said.poll(60)
        text: str = self._said.recv()
        self.process.join(60)
        return text


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_made_once_then_found(drawn: Path, tmp_path: Path) -> None:
    folder, dataset = CacheFolder(tmp_path, 1 << 30), dataset_of(drawn)
    for how in ("made", "found", "found"):
        said, levels = made(folder, dataset)
        assert said == how
        assert levels.shape == (12, 2, 3, 36, 36) and np.array_equal(levels, expected(dataset))
    (path,) = tmp_path.glob("*.pairs")
    assert path.stat().st_size == FILE_BYTES


def test_what_is_written_to_the_mapping_does_not_reach_the_file(drawn: Path, tmp_path: Path) -> None:
    folder, dataset = CacheFolder(tmp_path, 1 << 30), dataset_of(drawn)
    made(folder, dataset)[1][:] = 0
    how, levels = made(folder, dataset)
    assert how == "found" and np.array_equal(levels, expected(dataset))


def test_processes_that_start_at_once_make_one_file(drawn: Path, tmp_path: Path) -> None:
    makers = [Maker(drawn, tmp_path, pause_s=0.05) for _ in range(3)]
    assert sorted(maker.answer() for maker in makers) == ["found", "found", "made"]
    assert len(files(tmp_path)) == 1
    assert made(CacheFolder(tmp_path, 1 << 30), dataset_of(drawn))[0] == "found"


@pytest.mark.parametrize("stopped_by", [signal.SIGKILL, signal.SIGINT])
def test_one_stopped_in_the_middle_leaves_nothing(drawn: Path, tmp_path: Path, stopped_by: signal.Signals) -> None:
    maker = Maker(drawn, tmp_path, pause_s=0.2)
    while not list(tmp_path.glob("*.partial")):
        assert maker.process.is_alive()
        time.sleep(0.01)
    assert maker.process.pid is not None
    os.kill(maker.process.pid, stopped_by)
    maker.process.join(60)
    assert bool(list(tmp_path.glob("*.partial"))) == (stopped_by == signal.SIGKILL)
    dataset = dataset_of(drawn)
    how, levels = made(CacheFolder(tmp_path, 1 << 30), dataset)
    assert how == "made" and np.array_equal(levels, expected(dataset))
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (3, ""),  # in the header
        (4096 + 5 * PAIR_BYTES, "sum"),
        (FILE_BYTES - 9, "sum"),  # in a sum
    ],
)
def test_a_changed_byte_is_found_and_mended(drawn: Path, tmp_path: Path, place: int, words: str) -> None:
    folder, dataset = CacheFolder(tmp_path, 1 << 30), dataset_of(drawn)
    made(folder, dataset)
    (path,) = tmp_path.glob("*.pairs")
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    how, levels = made(folder, dataset)
    assert how.startswith("made again: it was broken (") and words in how
    assert np.array_equal(levels, expected(dataset))
    assert made(folder, dataset)[0] == "found"


@pytest.mark.parametrize("size", [0, 100, 4096, FILE_BYTES - 1, FILE_BYTES + 1])
def test_a_file_of_another_size_is_found_and_mended(drawn: Path, tmp_path: Path, size: int) -> None:
    folder, dataset = CacheFolder(tmp_path, 1 << 30), dataset_of(drawn)
    made(folder, dataset)
    (path,) = tmp_path.glob("*.pairs")
    os.truncate(path, size)
    how, levels = made(folder, dataset)
    assert how.startswith("made again") and np.array_equal(levels, expected(dataset))


def test_whatever_decides_the_levels_decides_the_file(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CacheFolder(tmp_path, 1 << 30)
    assert made(folder, dataset_of(drawn))[0] == "made"
    for changes in ({"load_size": 38}, {"preprocess": "crop"}, {"max_dataset_size": 5}):
        dataset = dataset_of(drawn, **changes)
        how, levels = made(folder, dataset)
        assert how == "made" and np.array_equal(levels, expected(dataset))
    for changes in ({"flip": False}, {"direction": "AtoB"}, {"shuffle": False}, {"workers": 0}):  # which don't
        assert made(folder, dataset_of(drawn, **changes))[0] == "found"
    monkeypatch.setattr(pair_cache.features, "version", lambda name: "0.0")
    assert made(folder, dataset_of(drawn))[0] == "made"
    assert len(files(tmp_path)) == 5


def test_another_picture_is_another_dataset(tmp_path: Path) -> None:
    synth(tmp_path / "set", {"train": 3}, size=40)
    (tmp_path / "cache").mkdir()
    folder, dataset = CacheFolder(tmp_path / "cache", 1 << 30), dataset_of(tmp_path / "set")
    made(folder, dataset)
    Image.new("RGB", (80, 40), (1, 2, 3)).save(tmp_path / "set/train/2.png")
    how, levels = made(folder, dataset)
    assert how == "made" and (levels[1, 0, :, 0, 0] == (1, 2, 3)).all()


def test_a_file_under_the_name_of_another_is_not_taken(drawn: Path, tmp_path: Path) -> None:
    folder, small, large = CacheFolder(tmp_path, 1 << 30), dataset_of(drawn), dataset_of(drawn, load_size=38)
    made(folder, small)
    (path,) = tmp_path.glob("*.pairs")
    identity = identity_of(large, dataset_hash(drawn))
    path.rename(folder.file(identity))
    with pytest.raises(NoCache, match="something else"):
        map_pairs(folder.file(identity), identity)
    how, levels = made(folder, large)
    assert "something else" in how and np.array_equal(levels, expected(large))


def test_a_set_above_the_limit_is_refused_before_and_after(drawn: Path, tmp_path: Path) -> None:
    small = CacheFolder(tmp_path, FILE_BYTES - 1)
    with pytest.raises(NoCache, match=r"take 95\.2 KiB once decoded, above --cache-limit 9\.08e-05"):
        made(small, dataset_of(drawn))
    assert files(tmp_path) == []
    made(CacheFolder(tmp_path, FILE_BYTES), dataset_of(drawn))
    with pytest.raises(NoCache, match="--cache-limit"):
        made(small, dataset_of(drawn))


def test_the_least_recently_used_makes_room_and_stays_mapped(drawn: Path, tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, 2 * FILE_BYTES)
    first, second, third = (dataset_of(drawn, load_size=size) for size in (36, 35, 34))
    mapped = {one: made(folder, one)[1] for one in (first, second)}
    for age, path in enumerate(sorted(tmp_path.glob("*.pairs"), key=lambda path: path.stat().st_mtime)):
        os.utime(path, (age + 1, age + 1))
    assert made(folder, first)[0] == "found"  # used again: the second is the older one now
    assert made(folder, third)[0] == "made"
    assert sum(path.stat().st_size for path in tmp_path.glob("*.pairs")) <= folder.limit_bytes
    assert made(folder, first)[0] == "found"
    assert all(np.array_equal(levels, expected(one)) for one, levels in mapped.items())
    assert made(folder, second)[0] == "made"


def test_a_folder_that_can_not_be_written(drawn: Path) -> None:
    with pytest.raises(NoCache, match=r"can't write /proc/\.lock"):
        made(CacheFolder(Path("/proc"), 1 << 30), dataset_of(drawn))  # not even by root


def test_a_disk_that_refuses_the_file(drawn: Path, tmp_path: Path) -> None:
    """The process may write 20,000 bytes a file, which the kernel refuses as it does those of a full disk."""
    said = Maker(drawn, tmp_path, most_bytes=20_000).answer()
    assert said.startswith("no cache: can't write ") and "File too large" in said
    assert files(tmp_path) == []


def test_sizes_that_vary_are_named(tmp_path: Path) -> None:
    (tmp_path / "set/train").mkdir(parents=True)
    for name, height in (("1", 40), ("2", 44)):
        Image.new("RGB", (80, height)).save(tmp_path / f"set/train/{name}.png")
    words = r"halves of .*2\.png are 40x44 pixels, those of .*1\.png 40x40, and a cache holds one size"
    with pytest.raises(NoCache, match=words):
        made(CacheFolder(tmp_path, 1 << 30), dataset_of(tmp_path / "set", preprocess="none"))
    assert files(tmp_path) == ["set"]
    assert made(CacheFolder(tmp_path, 1 << 30), dataset_of(tmp_path / "set"))[0] == "made"


def test_an_unusable_picture_ends_the_run_as_on_the_plain_path(tmp_path: Path) -> None:
    synth(tmp_path / "set", {"train": 4}, size=40)
    (tmp_path / "set/train/3.png").write_text("no picture")
    with pytest.raises(InfrastructureError, match=r"3\.png can't be decoded"):
        made(CacheFolder(tmp_path, 1 << 30), dataset_of(tmp_path / "set"))
    assert files(tmp_path) == ["set"]
