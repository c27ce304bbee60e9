"""The simulated world, of which each file of tests has its own, and its engine alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Engine
from world import NoWorld, World, world


@pytest.fixture(scope="module")
def sim() -> Iterator[World]:
    try:
        with world() as made:
            yield made
    except NoWorld as why:
        pytest.skip(str(why))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder:  # a socket's path has 107 characters
        made = Engine(Path(folder) / "docker.sock", {"PATH": os.environ["PATH"]})
        monkeypatch.setenv("DOCKER_HOST", made.url)
        yield made
        made.close()
