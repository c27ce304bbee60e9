"""The rules of the system tests."""

from __future__ import annotations

import os

import pytest
from support import server_of


@pytest.mark.system
def test_tests_of_a_server_run_in_one_process(request: pytest.FixtureRequest) -> None:
    """pytest-xdist keeps the tests of a group, whose name it adds to theirs, in one process."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        for item in request.session.items:
            server = server_of(item)
            assert server is None or item.nodeid.endswith(f"@{server}")
