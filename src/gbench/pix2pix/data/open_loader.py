"""Open the loader for `data.source`; if it is unavailable, fall back to a simpler one and print why."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from gbench.base.size import GIB, size_text
from gbench.datasets.manifest import dataset_hash
from gbench.errors import GbenchError
from gbench.pix2pix.data.decoded import CachedLoader, ResidentLoader, SyntheticLoader
from gbench.pix2pix.data.pair_cache import CacheFolder, NoCache, identity_of, map_pairs, prepare
from gbench.pix2pix.data.pair_file import Identity
from gbench.pix2pix.data.pair_loader import Loader, PairLoader, Share
from gbench.pix2pix.data.pairs import AlignedDataset
from gbench.pix2pix.data.transforms import Levels
from gbench.pix2pix.ranks.group import Ranks
from gbench.settings.spec import RunSpec

RESIDENT_SHARE = 0.25  # of a device's free memory, before the model is built


def open_loader(
    spec: RunSpec, data_dir: Path, cache_dir: Path, dataset_sha256: str | None, ranks: Ranks
) -> tuple[Loader, dict[str, Any]]:
    """The loader of this rank, and `EnvironmentFacts.data`, the same on every rank. Every rank must call it.

    Args:
        cache_dir: its path in this process's container.
        dataset_sha256: identity of the dataset; None: hash it now.

    Raises UsageError, InfrastructureError: as AlignedDataset and Loader; with a cache, for any unusable pair at once.
    """
    config, device = spec.config.data, ranks.device
    dataset = AlignedDataset(data_dir, config, spec.seed)
    share = Share(spec.batch_per_device, ranks.rank, ranks.world_size, spec.config.schedule.drop_last)
    plain = partial(PairLoader, dataset, share, pin_memory=device.type == "cuda")
    facts: dict[str, Any] = {"source": config.source, "asked": config.source, "because": None}
    if config.source == "real":
        return plain(), facts
    if config.source == "synthetic":
        return SyntheticLoader(dataset, share, device), facts
    try:
        cache = CacheFolder(cache_dir, round(spec.cache_limit_gib * GIB))
        levels, facts["cache"] = _cached_levels(dataset, cache, dataset_sha256, ranks)
    except NoCache as error:
        _fall_back(facts, "real", str(error), ranks)
        return plain(), facts
    if config.source == "resident":
        why_not = _too_little_memory(levels, ranks)
        if why_not is None:
            return ResidentLoader(dataset, share, levels, device), facts
        _fall_back(facts, "cached", why_not, ranks)
    return CachedLoader(dataset, share, levels, device), facts


def _cached_levels(
    dataset: AlignedDataset, cache: CacheFolder, dataset_sha256: str | None, ranks: Ranks
) -> tuple[Levels, dict[str, Any]]:
    """All pairs, from a file that the first rank of this host found or created, and facts about it.

    Raises on every rank as `prepare`.
    """
    outcome: tuple[Identity, dict[str, Any]] | Exception | None = None
    if ranks.is_first_here:
        try:
            identity = identity_of(dataset, dataset_sha256 or dataset_hash(dataset.folder.parent))
            started_s = time.perf_counter()
            how = prepare(cache, dataset, identity, _say)
            outcome = identity, {"how": how, "seconds": time.perf_counter() - started_s}
        except (NoCache, GbenchError) as error:
            outcome = error
    outcomes = ranks.gather(outcome)
    for failure in outcomes:
        if isinstance(failure, Exception):
            raise failure
    outcome = outcomes[ranks.on_this_node.start]
    assert isinstance(outcome, tuple), "the first rank of this host has one"
    identity, facts = outcome
    path, problem = cache.file(identity), None
    try:
        levels = map_pairs(path, identity)
    except NoCache as error:
        problem = str(error)
    for why in ranks.gather(problem):
        if why is not None:
            raise NoCache(why)
    return levels, {"file": path.name, "size_bytes": levels.nbytes, **facts}


def _too_little_memory(levels: Levels, ranks: Ranks) -> str | None:
    """Why the pairs don't fit on the devices; None if they fit. The same on every rank."""
    cuda = ranks.device.type == "cuda"
    free = torch.cuda.mem_get_info(ranks.device)[0] if cuda else psutil.virtual_memory().available
    least = min(ranks.gather(free))
    if levels.nbytes <= RESIDENT_SHARE * least:
        return None
    room = f"{RESIDENT_SHARE:.0%} of the {size_text(least)} free on a device"
    return f"its pairs take {size_text(levels.nbytes)}, above {room}"


def _fall_back(facts: dict[str, Any], source: str, because: str, ranks: Ranks) -> None:
    facts.update(source=source, because=because)
    if ranks.is_first:
        _say(f"warning: --data {facts['asked']} is unavailable: {because}; the run takes --data {source}")


def _say(text: str) -> None:
    print(f"gbench: {text}", flush=True)
