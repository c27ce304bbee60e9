"""The exchange of gradients between two real ranks, and what is measured of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from support import two_ranks
from torch import nn

from gbench.pix2pix import Pix2Pix
from gbench.pix2pix.ranks.exchange_timer import ExchangeTimer, bucket_bytes
from gbench.pix2pix.ranks.group import Ranks
from gbench.settings.model_config import SpeedConfig
from small_models import pairs, small_model
from spawned_ranks import spawn_ranks

CPU = torch.device("cpu")


def train(rank: int, looks: bool) -> tuple[Pix2Pix, ExchangeTimer | None]:
    """Three steps; `looks`: with the all-reduce before the first, and what torch timed read after each."""
    ranks, bare = Ranks(rank, 2, CPU), small_model()
    torch.manual_seed(rank)
    model = Pix2Pix(*(ranks.wrap(one, SpeedConfig()) for one in (bare.generator, bare.discriminator)))
    timer = ExchangeTimer(model.trained, ranks) if looks else None
    network = timer.probe() if timer else None
    for step in range(1, 4):
        model.train_step(*pairs(2, seed=10 * rank + step))
        if timer and step > 1:
            timer.note(step - 1)
    if network:
        sizes = {size for of in network.buckets.values() for size in of}
        assert {one.bytes for one in network.all_reduce} == {4, *sizes}
    return model, timer


def join(rank: int, path: Path) -> None:
    store = dist.FileStore(str(path), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=120))


def compare(rank: int, path: Path) -> None:
    join(rank, path)
    torch.set_num_threads(1)
    (plain, _), (looked_at, timer) = train(rank, looks=False), train(rank, looks=True)
    for one, other in zip(plain.generator.parameters(), looked_at.generator.parameters(), strict=True):
        assert torch.equal(one, other)
    assert timer is not None
    both = timer.steps()
    assert both is not None
    assert [[one.step for one in of] for of in both] == [[1, 2], [1, 2]]
    for one in both[rank]:
        assert set(one.exposed_s) == set(one.hidden_s) == {"G", "D"}
        assert all(value >= 0 for value in (*one.exposed_s.values(), *one.hidden_s.values()))


def compare_buckets(rank: int, path: Path) -> None:
    join(rank, path)
    network = nn.Sequential(*(nn.Linear(512, 512) for _ in range(4)))
    wrapped = Ranks(rank, 2, CPU).wrap_ddp(network, SpeedConfig())
    expected = bucket_bytes(wrapped)
    for _ in range(3):
        wrapped(torch.ones(1, 512)).sum().backward()
    assert len(expected) == 2
    assert ", ".join(map(str, expected)) == wrapped._get_ddp_logging_data()["rebuilt_bucket_sizes"]


@two_ranks
def test_looking_at_the_exchange_changes_no_bit(tmp_path: Path) -> None:
    spawn_ranks(compare, (tmp_path / "store",), 2)


@two_ranks
def test_buckets_are_those_that_torch_makes(tmp_path: Path) -> None:
    spawn_ranks(compare_buckets, (tmp_path / "store",), 2)


def test_one_rank_exchanges_nothing() -> None:
    timer = ExchangeTimer(small_model().trained, Ranks(0, 1, CPU))
    timer.note(1)
    assert timer.probe() is None and timer.steps() is None
