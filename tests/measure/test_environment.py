"""Facts about the worker's process."""

from __future__ import annotations

import hashlib
from importlib import metadata

import numpy as np
import torch

from gbench.measure import environment


def test_the_peak_of_memory_begins_anew_when_it_is_reset() -> None:
    cpu = torch.device("cpu")
    large = np.ones(1 << 25)  # 256 MiB, every page of it touched
    with_it = environment.memory(cpu)["host_rss_bytes"]
    del large
    assert environment.memory(cpu)["host_rss_bytes"] >= with_it
    environment.reset_memory_peaks(cpu)
    assert environment.memory(cpu)["host_rss_bytes"] < with_it - (200 << 20)


def test_the_hash_of_packages_is_of_names_and_versions() -> None:
    lines = {f"{one.name.lower()}=={one.version}\n" for one in metadata.distributions() if one.name}
    assert environment.packages_sha256() == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
