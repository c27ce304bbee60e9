"""Fixtures of the system tests, and their rule: none is skipped, for a skipped one proves nothing."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from docker_engine import base_image, docker_client
from original import contract_ddl
from postgres import postgres

__all__ = ["base_image", "contract_ddl", "docker_client", "postgres"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip is a failure."""
    report = yield
    if report.skipped:
        report.outcome, report.longrepr = "failed", f"a system test may not be skipped: {report.longrepr}"
    return report
