"""Servers that take connections and then do not answer, in place of PostgreSQL."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread

import yaml

ENCRYPTION = (80877103, 80877104)  # requests for TLS and GSSAPI, before the start of a session
STARTED = b"R" + struct.pack("!ii", 8, 0)  # authentication succeeded
for name, value in {"server_version": "15.0", "client_encoding": "UTF8", "standard_conforming_strings": "on"}.items():
    pair = name.encode() + b"\0" + value.encode() + b"\0"
    STARTED += b"S" + struct.pack("!i", 4 + len(pair)) + pair
STARTED += b"Z" + struct.pack("!i", 5) + b"I"  # ready for a query


@contextmanager
def accepting(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that hands each connection to `serve`, in a thread, and leaves it open."""
    connections: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):  # closed
            while True:
                connections.append(listener.accept()[0])
                Thread(target=served, args=(connections[-1],), daemon=True).start()

    def served(connection: socket.socket) -> None:
        with suppress(OSError):
            serve(connection)

    listener = socket.create_server(("127.0.0.1", 0))
    with closing(listener):
        Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            with suppress(OSError):  # the client has closed it
                connection.shutdown(socket.SHUT_RDWR)  # ends a read in another thread
            connection.close()


def never(connection: socket.socket) -> None:
    """Answer nothing at all."""


def only_the_start(connection: socket.socket) -> None:
    """Start a session, as if without a password, and answer no query."""
    while True:
        (length,) = struct.unpack("!i", connection.recv(4, socket.MSG_WAITALL))
        (code,) = struct.unpack("!i", connection.recv(length - 4, socket.MSG_WAITALL)[:4])
        connection.sendall(b"N" if code in ENCRYPTION else STARTED)
        if code not in ENCRYPTION:
            return


def trickling(connection: socket.socket) -> None:
    """Start a session; then send a notice every tenth of a second, and never the end of an answer."""
    only_the_start(connection)
    fields = b"SNOTICE\0Mstill here\0\0"
    while True:
        connection.sendall(b"N" + struct.pack("!i", 4 + len(fields)) + fields)
        time.sleep(0.1)


def config_of(port: int, folder: Path, host: str = "127.0.0.1") -> str:
    """The path of a database config of this server."""
    path = folder / "silent.yaml"
    path.write_text(yaml.safe_dump({"schema": "postgresql", "user": "u", "host": host, "port": port, "database": "d"}))
    return str(path)


def silent_after(chunks: int, server: int, vanish: bool) -> Callable[[socket.socket], None]:
    """Pass everything on to a server's port and back until clients have sent so many chunks; then nothing any more.

    vanish: the server is not even notified when the client closes its connection.
    """
    left, kept = iter(range(chunks)), list[socket.socket]()

    def relay(client: socket.socket) -> None:
        there = socket.create_connection(("127.0.0.1", server))
        ends = {client: there, there: client}
        silent = False
        while True:
            try:
                ready = select.select([*ends], [], [])[0]
            except ValueError:  # the test has closed the client's end
                there.close()
                return
            for one in ready:
                data = one.recv(1 << 16)
                silent |= one is client and next(left, None) is None
                if silent and vanish:
                    kept.append(there)
                    return
                if not data:
                    there.close()
                    return
                if not silent:
                    ends[one].sendall(data)

    return relay
