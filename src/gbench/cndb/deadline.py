"""Connections to PostgreSQL whose every call ends: after a deadline if the server or the name service is silent.

A server that is alive ends a long statement itself, by its `statement_timeout`, which is shorter. A migration has none;
while it runs, the server is asked over a second connection whether it still answers.
"""

import time
from collections.abc import Generator
from ipaddress import ip_address
from math import ceil
from typing import Any

import psycopg

from gbench.base.threads import within

ATTEMPTS = 3  # addresses that can be tried within a deadline if each is silent


class Silent(psycopg.OperationalError):
    """The server or the name service was silent until the deadline."""

    sqlstate = "08006"  # connection failure


class TimedConnection(psycopg.Connection[Any]):
    deadline_s: float
    parameters: dict[str, Any]
    """Those that it was made with."""
    migrates = False
    """Whether a call may take longer than the deadline, as long as the server answers others."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **more: Any) -> Any:
        """Run a call, as in the base class. Raises Silent."""
        return super().wait(self._limited(gen), *args, **more)

    def _limited(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """`gen`, ended at the deadline. psycopg resumes it ten times a second if nothing has arrived."""
        span = self.deadline_s / (2 if self.migrates else 1)
        until, ready = time.monotonic() + span, None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                return end.value
            if time.monotonic() > until:
                if not (self.migrates and answers(self.parameters, span / 2)):
                    self.close()  # the caller's rollback must not wait again
                    raise Silent(f"no answer within {self.deadline_s:g} s")
                until = time.monotonic() + span
            ready = yield wanted


def answers(parameters: dict[str, Any], deadline_s: float) -> bool:
    """Whether a server is not silent: to refuse a connection is an answer too."""
    try:
        with connect(parameters, deadline_s) as connection:
            connection.execute("SELECT 1")
    except Silent:
        return False
    except psycopg.Error:
        return True
    return True


def connect(parameters: dict[str, Any], deadline_s: float) -> TimedConnection:
    """Connect: to a host by name in a thread, abandoned at the deadline, as nothing else ends the look-up of a name.

    The driver begins no transaction: that would be a round trip of its own.

    Raises Silent, or another psycopg.Error.
    """
    settings = {"connect_timeout": ceil(deadline_s / ATTEMPTS), **parameters, "autocommit": True}
    try:
        if _is_address(settings.get("host")):  # 0.5 ms sooner
            connection = TimedConnection.connect(**settings)
        else:
            connection = within(deadline_s, lambda: TimedConnection.connect(**settings))
    except (TimeoutError, psycopg.errors.ConnectionTimeout) as error:
        raise Silent(f"no answer within {deadline_s:g} s") from error
    connection.deadline_s, connection.parameters = deadline_s, parameters
    return connection


def _is_address(host: str | None) -> bool:
    """Whether no name service is asked for a host."""
    try:
        ip_address(host or "")
    except ValueError:
        return False
    return True
