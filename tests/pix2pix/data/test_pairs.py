from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, functional, transforms

from gbench.datasets.draw_facade import PALETTE
from gbench.datasets.synth import synth
from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.pix2pix.data.pair_loader import PairLoader, Share
from gbench.pix2pix.data.pairs import AlignedDataset, Batch
from gbench.pix2pix.data.transforms import draw
from gbench.settings.model_config import DataConfig

FACADES50 = Path(__file__).resolve().parents[3] / ".." / "shared" / "facades50"


def save(root: Path, name: str, pixels: np.ndarray) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 train pairs of 64-pixel halves."""
    root = tmp_path_factory.mktemp("drawn") / "set"
    synth(root, {"train": 12, "test": 3}, size=64)
    return root


def config(**changes: object) -> DataConfig:
    values = {"load_size": 72, "crop_size": 64, "workers": 0, "direction": "AtoB", **changes}
    return DataConfig.model_validate(values)


def loader(root: Path, config: DataConfig, **changes: object) -> PairLoader:
    options = {"batch_size": 4, "rank": 0, "world_size": 1, "drop_last": False, "seed": 0, **changes}
    dataset = AlignedDataset(root, config, options.pop("seed"))  # type: ignore[arg-type]
    return PairLoader(dataset, Share(**options), pin_memory=False)  # type: ignore[arg-type]


def epoch(loader: PairLoader, number: int) -> list[Batch]:
    loader.set_epoch(number)
    return list(loader)


# ---- one sample


def reference(half: Image.Image, config: DataConfig, left: int, top: int, flip: bool) -> torch.Tensor:
    """Upstream's transforms, put together from torchvision's."""
    steps = [
        transforms.Lambda(lambda image: functional.crop(image, top, left, config.crop_size, config.crop_size)),
        transforms.Lambda(lambda image: functional.hflip(image) if flip else image),
        transforms.ToTensor(),
        transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ]
    if config.preprocess == "resize_and_crop":
        steps.insert(0, transforms.Resize([config.load_size, config.load_size], InterpolationMode.BICUBIC))
    return transforms.Compose(steps)(half)


@pytest.mark.parametrize("size", [(512, 256), (120, 90)])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_bit_for_bit_as_torchvisions_pipeline(tmp_path: Path, size: tuple[int, int], direction: str) -> None:
    path = save(tmp_path, "train/1.png", noise(*size))
    settings = config(load_size=286, crop_size=256, direction=direction)
    dataset = AlignedDataset(tmp_path, settings, seed=3)
    pair, half = Image.open(path), size[0] // 2
    halves = [pair.crop((0, 0, half, size[1])), pair.crop((half, 0, size[0], size[1]))]
    flips = set()
    for number in range(6):
        drawn = draw(random.Random(f"3/{number}/0"), (286, 286), 256)
        a, b = (reference(half, settings, *drawn) for half in halves)
        sample = dataset[number, 0]
        assert torch.equal(sample.real_A, a if direction == "AtoB" else b)
        assert torch.equal(sample.real_B, b if direction == "AtoB" else a)
        assert sample.path == str(path)
        flips.add(drawn.flip)
    assert flips == {True, False}


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop", "scale_width_and_crop", "scale_width", "none"])
def test_both_halves_get_the_same_crop_and_flip(tmp_path: Path, preprocess: str, flip: bool) -> None:
    """Pixels encode their origin: red is x, green is y; blue distinguishes the halves."""
    y, x = np.mgrid[:96, :96]
    halves = [np.stack([x * 2, y * 2, np.full_like(x, blue)], axis=-1) for blue in (0, 255)]
    save(tmp_path, "train/1.png", np.concatenate(halves, axis=1))
    dataset = AlignedDataset(tmp_path, config(preprocess=preprocess, flip=flip, load_size=80, crop_size=48), seed=1)
    corners, directions = set(), set()
    for number in range(20):
        a, b, _ = dataset[number, 0]
        assert torch.equal(a[:2], b[:2])
        assert (a[2] == -1).all() and (b[2] == 1).all()  # nothing of one half bled into the other
        directions.add(bool(a[0, 0, 0] > a[0, 0, -1]))
        corners.add((float(a[0].min()), float(a[1].min())))
    assert directions == ({True, False} if flip else {False})
    assert len(corners) > 5 if "crop" in preprocess else len(corners) == 1


@pytest.mark.parametrize(
    ("preprocess", "pair", "expected"),
    [
        ("resize_and_crop", (300, 90), (64, 64)),
        ("crop", (300, 90), (64, 64)),
        ("scale_width", (300, 90), (72, 64)),  # 43 high by proportion, raised to the crop
        ("scale_width", (200, 300), (72, 216)),
        ("scale_width", (144, 70), (72, 70)),  # already as wide, and high enough: left alone
        ("scale_width", (144, 50), (72, 64)),
        ("scale_width_and_crop", (200, 300), (64, 64)),
        ("none", (204, 101), (104, 100)),  # to multiples of 4; 102 / 4 = 25.5 goes to the even 26
        ("none", (128, 64), (64, 64)),
    ],
)
def test_size_of_each_mode(tmp_path: Path, preprocess: str, pair: tuple[int, int], expected: tuple[int, int]) -> None:
    save(tmp_path, "train/1.png", noise(*pair))
    sample = AlignedDataset(tmp_path, config(preprocess=preprocess), seed=0)[0, 0]
    assert sample.real_A.shape == sample.real_B.shape == (3, expected[1], expected[0])
    assert sample.real_A.dtype == torch.float32
    assert float(sample.real_A.min()) >= -1 and float(sample.real_A.max()) <= 1


def test_modes_that_do_not_scale_keep_the_pixels(tmp_path: Path) -> None:
    pixels = noise(128, 64)
    save(tmp_path, "train/1.png", pixels)
    a, b, _ = AlignedDataset(tmp_path, config(preprocess="none", flip=False), seed=0)[0, 0]
    got = torch.cat([a, b], dim=2).permute(1, 2, 0).mul(127.5).add(127.5).round().numpy()
    assert (got == pixels).all()


def test_draws_cover_upstreams_ranges() -> None:
    draws = [draw(random.Random(number), (286, 290), 256) for number in range(3000)]
    assert {each.left for each in draws} == set(range(31))
    assert {each.top for each in draws} == set(range(35))
    assert 0.45 < sum(each.flip for each in draws) / len(draws) < 0.55
    assert draw(random.Random(0), (200, 200), 256)[:2] == (0, 0)


def test_grey_and_transparent_files_become_rgb(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    Image.new("L", (128, 64), 255).save(tmp_path / "train/1.png")
    Image.new("RGBA", (128, 64), (255, 255, 255, 0)).save(tmp_path / "train/2.png")
    dataset = AlignedDataset(tmp_path, config(), seed=0)
    assert all((dataset[0, index].real_A == 1).all() for index in range(2))


def test_sorted_and_cut_to_max_dataset_size(drawn: Path) -> None:
    names = [path.name for path in AlignedDataset(drawn, config(), seed=0).paths]
    assert names == ["1.png", "10.png", "11.png", "12.png", *(f"{n}.png" for n in range(2, 10))]
    cut = AlignedDataset(drawn, config(max_dataset_size=5), seed=0)
    assert [path.name for path in cut.paths] == names[:5] and len(cut) == 5


# ---- ranks, epochs, processes


def by_path(batches: list[Batch]) -> list[dict[str, torch.Tensor]]:
    """Each batch as {path: its two tensors}, which forgets the order within it."""
    return [
        {path: torch.stack([a, b]) for a, b, path in zip(batch.real_A, batch.real_B, batch.paths, strict=True)}
        for batch in batches
    ]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("images", "drop_last"), [(12, False), (12, True), (10, True), (10, False), (11, True)])
def test_global_batches_do_not_depend_on_the_number_of_ranks(
    drawn: Path, images: int, drop_last: bool, shuffle: bool
) -> None:
    settings = config(max_dataset_size=images, shuffle=shuffle)
    for number in (0, 1):
        one = by_path(epoch(loader(drawn, settings, drop_last=drop_last), number))
        ranks = [loader(drawn, settings, batch_size=2, rank=r, world_size=2, drop_last=drop_last) for r in (0, 1)]
        two = [a | b for a, b in zip(*(by_path(epoch(rank, number)) for rank in ranks), strict=True)]
        assert [len(batch) for batch in one] == ([4] * (images // 4) if drop_last or images == 12 else [4, 4, 2])
        assert [batch.keys() for batch in one] == [batch.keys() for batch in two]
        assert all(torch.equal(x[path], y[path]) for x, y in zip(one, two, strict=True) for path in x)


def test_ranks_share_an_epoch_without_overlap(drawn: Path) -> None:
    paths = [
        [
            path
            for batch in epoch(loader(drawn, config(), batch_size=2, rank=rank, world_size=3), 0)
            for path in batch.paths
        ]
        for rank in range(3)
    ]
    assert [len(each) for each in paths] == [4, 4, 4]
    assert len(set().union(*paths)) == 12


def test_an_epoch_that_does_not_divide_is_filled_up(drawn: Path) -> None:
    settings = config(max_dataset_size=7, shuffle=False)
    names = [
        [
            Path(path).name
            for batch in epoch(loader(drawn, settings, rank=rank, world_size=2), 0)
            for path in batch.paths
        ]
        for rank in range(2)
    ]
    assert names == [["1.png", "11.png", "2.png", "4.png"], ["10.png", "12.png", "3.png", "1.png"]]


def test_epochs_differ_and_repeat(drawn: Path) -> None:
    first = loader(drawn, config())
    epochs = [epoch(first, number) for number in (0, 1, 0)]
    paths = [[path for batch in batches for path in batch.paths] for batches in epochs]
    assert paths[0] != paths[1] and sorted(paths[0]) == sorted(paths[1]) and paths[0] == paths[2]
    zero, one, again = ({k: v for batch in by_path(batches) for k, v in batch.items()} for batches in epochs)
    assert all(torch.equal(zero[path], again[path]) for path in zero)
    assert any(not torch.equal(zero[path], one[path]) for path in zero)  # other crops, other flips
    other_seed = {k: v for batch in by_path(epoch(loader(drawn, config(), seed=1), 0)) for k, v in batch.items()}
    assert any(not torch.equal(zero[path], other_seed[path]) for path in zero)


def test_loader_processes_change_nothing(drawn: Path) -> None:
    here, there = loader(drawn, config(workers=0)), loader(drawn, config(workers=2))
    for number in (0, 1, 5):
        for a, b in zip(epoch(here, number), epoch(there, number), strict=True):
            assert a.paths == b.paths and torch.equal(a.real_A, b.real_A) and torch.equal(a.real_B, b.real_B)


def test_an_epoch_left_early_does_not_leak_into_the_next(drawn: Path) -> None:
    pairs = loader(drawn, config(workers=1), batch_size=1)
    pairs.set_epoch(0)
    next(iter(pairs))
    expected = epoch(loader(drawn, config(), batch_size=1), 1)
    assert [batch.paths for batch in epoch(pairs, 1)] == [batch.paths for batch in expected]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generator_is_left_alone(drawn: Path, workers: int) -> None:
    before = torch.get_rng_state()
    epoch(loader(drawn, config(workers=workers)), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_length_is_the_number_of_batches(drawn: Path) -> None:
    for options in (
        {},
        {"drop_last": True},
        {"batch_size": 5},
        {"batch_size": 5, "drop_last": True},
        {"world_size": 2},
    ):
        pairs = loader(drawn, config(), **options)
        assert len(pairs) == len(list(pairs)) > 0


# ---- what can't be loaded


def test_no_whole_batch(drawn: Path) -> None:
    with pytest.raises(UsageError, match=r"12 images, fewer than one batch of 16.*drop_last"):
        loader(drawn, config(), batch_size=8, world_size=2, drop_last=True)
    assert len(loader(drawn, config(), batch_size=8, world_size=2)) == 1


def test_missing_phase(drawn: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"no phase 'val', only train, test.*data\.phase"):
        loader(drawn, config(phase="val"))


def spoil(root: Path, how: str) -> Path:
    """Four pairs, the third of them unusable."""
    for number in (1, 2, 3, 4):
        save(root, f"train/{number}.png", noise(160, 80, number))
    path = root / "train/3.png"
    if how == "no image":
        path.write_text("not an image")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif how == "odd":
        save(root, "train/3.png", noise(161, 80))
    elif how == "small":
        save(root, "train/3.png", noise(160, 63))
    elif how == "gone":
        path.unlink()
        path.symlink_to("nowhere.png")
    return path


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no image", "can't be decoded"),
        ("cut", "can't be decoded"),
        ("gone", "can't be decoded"),
        ("odd", "161 pixels wide"),
        ("small", "80x63 pixels, below data.crop_size 64"),
    ],
)
def test_an_unusable_file_is_named_also_from_a_loader_process(
    tmp_path: Path, how: str, words: str, workers: int
) -> None:
    path = spoil(tmp_path, how)
    settings = config(preprocess="crop", shuffle=False, workers=workers)
    batches = iter(loader(tmp_path, settings, batch_size=2))
    assert [Path(path).name for path in next(batches).paths] == ["1.png", "2.png"]
    try:
        next(batches)
    except GbenchError as error:
        # Not pytest.raises: what it keeps and this frame would hold each other, and the loader's processes with them.
        assert type(error) is InfrastructureError
        assert str(path) in error.what and words in error.what
        assert "Traceback" not in str(error) and "Caught" not in str(error)
    else:
        pytest.fail("the unusable file came through")


def test_sizes_that_cannot_share_a_batch(tmp_path: Path) -> None:
    save(tmp_path, "train/1.png", noise(128, 64))
    save(tmp_path, "train/2.png", noise(128, 80))
    settings = config(preprocess="none", shuffle=False)
    with pytest.raises(GbenchError, match=r"1\.png and .*2\.png differ in size"):
        next(iter(loader(tmp_path, settings)))
    assert [batch.real_A.shape[-2] for batch in loader(tmp_path, settings, batch_size=1)] == [64, 80]


# ---- real pairs


@pytest.mark.skipif(not FACADES50.is_dir(), reason="the 50 real pairs are not beside this checkout")
def test_real_pairs_label_map_in_photo_out() -> None:
    settings = DataConfig(phase="test", direction="BtoA", load_size=256, flip=False, shuffle=False, workers=0)
    batch = next(iter(loader(FACADES50, settings)))
    assert batch.real_A.shape == batch.real_B.shape == (4, 3, 256, 256)
    assert [Path(path).name for path in batch.paths] == ["1.png", "10.png", "100.png", "101.png"]

    def share_near_walls(images: torch.Tensor) -> float:
        wall = torch.tensor(PALETTE["wall"]).view(1, 3, 1, 1) / 127.5 - 1
        return float(((images - wall).abs().amax(dim=1) < 0.1).float().mean())

    assert share_near_walls(batch.real_A) > 0.1
    assert share_near_walls(batch.real_B) < 0.01
