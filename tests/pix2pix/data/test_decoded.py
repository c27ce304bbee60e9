"""Cached, resident and synthetic loaders compared with the one that reads every file: same tensors, same order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gbench.datasets.manifest import dataset_hash
from gbench.datasets.synth import synth
from gbench.errors import UsageError
from gbench.pix2pix.data.decoded import CachedLoader, ResidentLoader, SyntheticLoader
from gbench.pix2pix.data.pair_cache import CacheFolder, identity_of, map_pairs, prepare
from gbench.pix2pix.data.pair_loader import Loader, PairLoader, Share
from gbench.pix2pix.data.pairs import AlignedDataset, Batch
from gbench.pix2pix.data.transforms import Normalized, normalize
from gbench.settings.model_config import DataConfig

CPU = torch.device("cpu")
FAST = ("cached", "resident")
MakeLoader = Callable[..., Loader]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 train pairs of 40-pixel halves."""
    root = tmp_path_factory.mktemp("drawn") / "set"
    synth(root, {"train": 100}, size=40)
    return root


@pytest.fixture
def make_loader(drawn: Path, tmp_path: Path) -> MakeLoader:
    """A loader of one source; keywords change the config, the rank's share, the seed or the dataset."""

    def make(source: str, root: Path = drawn, seed: int = 0, **changes: object) -> Loader:
        share = {"batch_size": 8, "rank": 0, "world_size": 1, "drop_last": False}
        share |= {name: changes.pop(name) for name in tuple(changes) if name in share}
        values = {"load_size": 36, "crop_size": 32, "workers": 0, "direction": "AtoB", **changes}
        dataset = AlignedDataset(root, DataConfig.model_validate(values), seed)
        if source == "real":
            return PairLoader(dataset, Share(**share), pin_memory=False)  # type: ignore[arg-type]
        if source == "synthetic":
            return SyntheticLoader(dataset, Share(**share), CPU)  # type: ignore[arg-type]
        folder, identity = CacheFolder(tmp_path, 1 << 30), identity_of(dataset, dataset_hash(root))
        prepare(folder, dataset, identity)
        kind = {"cached": CachedLoader, "resident": ResidentLoader}[source]
        return kind(dataset, Share(**share), map_pairs(folder.file(identity), identity), CPU)  # type: ignore[arg-type]

    return make


def epochs(loader: Loader, numbers: Sequence[int]) -> list[Batch]:
    """All batches of some epochs, by their numbers."""
    batches: list[Batch] = []
    for number in numbers:
        loader.set_epoch(number)
        batches += loader
    return batches


def assert_same(these: Sequence[Batch], those: Sequence[Batch]) -> None:
    assert len(these) == len(those) > 0
    for one, other in zip(these, those, strict=True):
        assert one.paths == other.paths
        for a, b in ((one.real_A, other.real_A), (one.real_B, other.real_B)):
            assert a.dtype == b.dtype == torch.float32 and a.is_contiguous() and a.shape == b.shape
            assert torch.equal(a.view(torch.int32), b.view(torch.int32))  # bits: -0.0 is not 0.0


@pytest.mark.parametrize("source", FAST)
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_a_thousand_samples_equal_those_of_the_plain_path(make_loader: MakeLoader, source: str, direction: str) -> None:
    plain, fast = (epochs(make_loader(each, seed=3, direction=direction), range(1, 11)) for each in ("real", source))
    assert sum(len(batch.paths) for batch in fast) == 1000
    assert_same(plain, fast)


@pytest.mark.parametrize("source", FAST)
@pytest.mark.parametrize(
    "changes",
    [
        {"preprocess": "crop"},
        {"preprocess": "scale_width"},
        {"preprocess": "scale_width_and_crop"},
        {"preprocess": "none"},
        {"preprocess": "resize_and_crop", "load_size": 37, "crop_size": 35},  # whose rows are no whole words
        {"preprocess": "resize_and_crop", "load_size": 34, "crop_size": 34},
        {"preprocess": "resize_and_crop", "crop_size": 30, "flip": False},
        {"preprocess": "crop", "crop_size": 28, "shuffle": False, "max_dataset_size": 21},
        {"preprocess": "resize_and_crop", "drop_last": True, "batch_size": 7},
    ],
)
def test_whatever_the_settings(make_loader: MakeLoader, source: str, changes: dict[str, object]) -> None:
    plain, fast = (epochs(make_loader(each, **changes), (1, 2)) for each in ("real", source))
    assert_same(plain, fast)


@pytest.mark.parametrize("source", FAST)
def test_every_level_comes_through(tmp_path: Path, make_loader: MakeLoader, source: str) -> None:
    """Every level of every channel comes through as it does on the plain path."""
    levels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    levels[:16, :16, 0] = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (tmp_path / "all" / "train").mkdir(parents=True)
    Image.fromarray(levels).save(tmp_path / "all" / "train" / "1.png")
    changes = {"root": tmp_path / "all", "preprocess": "crop", "flip": False}
    assert_same(epochs(make_loader("real", **changes), (1,)), epochs(make_loader(source, **changes), (1,)))


def test_the_table_has_the_values_of_the_plain_operations() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    step_by_step = [(np.float32(level) / np.float32(255) - np.float32(0.5)) / np.float32(0.5) for level in range(256)]
    expected = torch.tensor(np.array(step_by_step))
    for found in (normalize(levels), Normalized(CPU)(levels)):
        assert torch.equal(found.view(torch.int32), expected.view(torch.int32))


@pytest.mark.parametrize("source", FAST)
def test_global_batches_do_not_depend_on_the_number_of_ranks(make_loader: MakeLoader, source: str) -> None:
    one = epochs(make_loader(source, batch_size=8), (1, 2))
    ranks = [epochs(make_loader(source, batch_size=4, rank=rank, world_size=2), (1, 2)) for rank in range(2)]
    for whole, *parts in zip(one, *ranks, strict=True):
        found = dict(zip(whole.paths, zip(whole.real_A, whole.real_B, strict=True), strict=True))
        assert found.keys() == set(chain.from_iterable(part.paths for part in parts))
        for part in parts:
            for path, a, b in zip(part.paths, part.real_A, part.real_B, strict=True):
                assert torch.equal(a, found[path][0]) and torch.equal(b, found[path][1])


@pytest.mark.parametrize("source", ["real", *FAST])
def test_a_resumed_epoch_goes_on_where_it_was(make_loader: MakeLoader, source: str) -> None:
    whole = epochs(make_loader(source), (2, 3))
    resumed = make_loader(source)
    resumed.set_epoch(2, skip=5)
    assert_same([*resumed, *epochs(resumed, (3,))], whole[5:])


@pytest.mark.parametrize("source", FAST)
def test_an_epoch_left_early_does_not_leak_into_the_next(make_loader: MakeLoader, source: str) -> None:
    loader = make_loader(source)
    loader.set_epoch(1)
    assert len(list(islice(loader, 3))) == 3
    assert_same(epochs(loader, (2,)), epochs(make_loader("real"), (2,)))


@pytest.mark.parametrize("source", FAST)
def test_a_batch_stays_as_it_is_while_later_ones_come(make_loader: MakeLoader, source: str) -> None:
    loader = make_loader(source)
    kept = [(batch, batch.real_A.clone(), batch.real_B.clone()) for batch in loader]
    assert len(kept) == 13
    assert all(torch.equal(batch.real_A, a) and torch.equal(batch.real_B, b) for batch, a, b in kept)


@pytest.mark.parametrize("source", [*FAST, "synthetic"])
def test_the_global_generator_is_left_alone(make_loader: MakeLoader, source: str) -> None:
    before = torch.get_rng_state()
    epochs(make_loader(source), (1,))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("source", [*FAST, "synthetic"])
def test_lengths_and_last_batches_are_the_plain_paths(make_loader: MakeLoader, source: str) -> None:
    for share in ({}, {"drop_last": True}, {"batch_size": 7}, {"world_size": 2, "rank": 1}):
        loader = make_loader(source, **share)
        assert len(loader) == len(list(loader)) == len(make_loader("real", **share))
    with pytest.raises(UsageError, match="100 images, fewer than one batch of 128"):
        make_loader(source, batch_size=64, world_size=2, drop_last=True)


@pytest.mark.parametrize("preprocess", ["resize_and_crop", "none"])
def test_synthetic_is_one_batch_of_noise_of_the_real_ones_form(make_loader: MakeLoader, preprocess: str) -> None:
    real, noise = (epochs(make_loader(each, preprocess=preprocess), (1, 2)) for each in ("real", "synthetic"))
    assert [batch.real_A.shape for batch in real] == [batch.real_A.shape for batch in noise]
    assert len({batch.real_A.data_ptr() for batch in noise}) == 1
    first = noise[0]
    assert not torch.equal(first.real_A, first.real_B)
    assert first.real_A.min() == -1 and first.real_A.max() == 1 and abs(float(first.real_A.mean())) < 0.02
    resumed = make_loader("synthetic", preprocess=preprocess)
    resumed.set_epoch(1, skip=10)
    assert [len(batch.paths) for batch in resumed] == [8, 8, 4]


def test_the_thread_that_copies_works_on_the_ranks_own_gpu(
    make_loader: MakeLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[str, torch.device]] = []
    monkeypatch.setattr(
        torch.cuda, "set_device", lambda device: taken.append((threading.current_thread().name, device))
    )
    loader = make_loader("cached")
    list(loader)
    assert taken == []  # no GPU is asked for on a processor
    loader.device = torch.device("cuda", 1)  # type: ignore[attr-defined]
    list(loader)
    assert taken == [("gbench-data_0", torch.device("cuda", 1))]
