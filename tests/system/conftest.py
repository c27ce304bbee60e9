"""Fixtures of the system tests, and their rules: none is skipped, for a skipped one proves nothing; and those of one
server run in one process of pytest-xdist, so that it is started once, and nobody else changes what it holds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from support import Answer, server_of

from browser import Browser
from docker_engine import base_image, docker_client
from docker_runs import nothing_is_left, open_folder
from invoke import in_a_process
from original import contract_ddl
from postgres import postgres
from slurm_cluster import slurm

__all__ = ["base_image", "contract_ddl", "docker_client", "nothing_is_left", "open_folder", "postgres", "slurm"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests of a server."""
    for item in items:
        if server := server_of(item):
            item.add_marker(pytest.mark.xdist_group(server))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip is a failure."""
    report = yield
    if report.skipped:
        report.outcome, report.longrepr = "failed", f"a system test may not be skipped: {report.longrepr}"
    return report


@pytest.fixture
def gbench(tmp_path: Path) -> Callable[..., Answer]:
    """Runs `python -m gbench ARGUMENTS` in an empty folder, as a user does."""

    def run(*arguments: object, timeout_s: float = 240, **variables: str) -> Answer:
        return in_a_process(arguments, tmp_path, variables, timeout_s)

    return run


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser
