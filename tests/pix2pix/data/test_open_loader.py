"""Which loader a run gets, its fallbacks, and how they are reported and recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gbench.datasets.manifest import dataset_hash
from gbench.errors import InfrastructureError
from gbench.pix2pix.data import open_loader
from gbench.pix2pix.data.decoded import CachedLoader, ResidentLoader, SyntheticLoader
from gbench.pix2pix.data.pair_loader import Loader, PairLoader
from gbench.pix2pix.ranks.group import Ranks
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def batches(loader: Loader) -> list[torch.Tensor]:
    loader.set_epoch(1)
    return [torch.stack([batch.real_A, batch.real_B]) for batch in loader]


def test_each_source_has_its_loader(make_spec: MakeSpec, facades: Path, cache_dir: Path, ranks: Ranks) -> None:
    kinds = {"real": PairLoader, "cached": CachedLoader, "resident": ResidentLoader, "synthetic": SyntheticLoader}
    for source, kind in kinds.items():
        loader, facts = open_loader.open_loader(make_spec(data_source=source), facades, cache_dir, None, ranks)
        assert type(loader) is kind
        assert (facts["source"], facts["asked"], facts["because"]) == (source, source, None)
        assert ("cache" in facts) == (source in ("cached", "resident"))
    assert len(list(cache_dir.glob("*.pairs"))) == 1  # the same for both


def test_the_first_run_makes_the_cache_for_the_next_one(
    make_spec: MakeSpec, facades: Path, cache_dir: Path, ranks: Ranks, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, identity = make_spec(data_source="cached"), dataset_hash(facades)
    for how in ("made", "found"):
        _, facts = open_loader.open_loader(spec, facades, cache_dir, identity, ranks)
        assert facts["cache"]["how"] == how
        assert facts["cache"]["size_bytes"] == 16 * 2 * 3 * 36 * 36
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"gbench: decoding 16 pairs once, into {cache_dir}/")


@pytest.mark.parametrize("source", ["cached", "resident"])
@pytest.mark.parametrize(
    ("changes", "folder", "because"),
    [
        ({"cache_limit_gib": 0.0}, "cache", "its pairs take 0.123 MiB once decoded, above --cache-limit 0"),
        ({}, "/proc", "can't write /proc/.lock"),
        ({}, "none", "can't write {base}/none/.lock (No such file or directory)"),
    ],
)
def test_without_a_cache_files_are_read_and_the_reason_is_given(
    make_spec: MakeSpec,
    facades: Path,
    cache_dir: Path,
    ranks: Ranks,
    capsys: pytest.CaptureFixture[str],
    source: str,
    changes: dict[str, float],
    folder: str,
    because: str,
) -> None:
    spec = make_spec(data_source=source, **changes)
    loader, facts = open_loader.open_loader(spec, facades, cache_dir.parent / folder, None, ranks)
    assert type(loader) is PairLoader
    assert (facts["source"], facts["asked"]) == ("real", source)
    assert facts["because"].startswith(because.format(base=cache_dir.parent))
    warning = f"warning: --data {source} is unavailable: {facts['because']}; the run takes --data real"
    assert capsys.readouterr().out == f"gbench: {warning}\n"
    assert list(cache_dir.iterdir()) in ([], [cache_dir / ".lock"])


def test_what_does_not_fit_on_the_device_stays_on_the_host(
    make_spec: MakeSpec, facades: Path, cache_dir: Path, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_loader, "RESIDENT_SHARE", 1e-9)
    loader, facts = open_loader.open_loader(make_spec(data_source="resident"), facades, cache_dir, None, ranks)
    assert type(loader) is CachedLoader
    assert facts["source"] == "cached" and "free on a device" in facts["because"]
    plain, _ = open_loader.open_loader(make_spec(), facades, cache_dir, None, ranks)
    assert all(torch.equal(a, b) for a, b in zip(batches(loader), batches(plain), strict=True))


def test_an_unusable_picture_is_no_reason_to_read_it_in_the_run(
    make_spec: MakeSpec, tmp_path: Path, cache_dir: Path, ranks: Ranks
) -> None:
    root = tmp_path / "broken"
    (root / "train").mkdir(parents=True)
    for name in "1234":
        (root / f"train/{name}.png").write_text("no picture")
    with pytest.raises(InfrastructureError, match=r"\.png can't be decoded"):
        open_loader.open_loader(make_spec(data_source="cached"), root, cache_dir, None, ranks)
