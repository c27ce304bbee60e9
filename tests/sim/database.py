"""A PostgreSQL server for the simulated world that never takes a record: it is gone, silent, full, or says nonsense."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading

ENCRYPTION_REQUESTS = (80877103, 80877104)  # SSL and GSSAPI, which this server has not
# what it does with a connection: the SQLSTATE and the message of its refusal
REFUSALS = {
    "database full of clients": ("53300", "sorry, too many clients already"),
    "database starting": ("57P03", "the database system is starting up"),
    "database shutting down": ("57P01", "terminating connection due to administrator command"),
    "wrong password": ("28P01", 'password authentication failed for user "golden"'),
    "database's disk full": ("53100", "could not extend file: No space left on device"),
}
OTHERS = ("database killed", "database silent", "database closes", "database says nonsense")
FAULTS_OF_DATABASE = (*OTHERS, *REFUSALS)


class Database(socketserver.ThreadingTCPServer):
    """A server on 127.0.0.1 with one of FAULTS_OF_DATABASE."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, fault: str) -> None:
        self.fault, self.closing = fault, threading.Event()
        super().__init__(("127.0.0.1", 0), Connection)
        self.port = int(self.server_address[1])
        if fault == "database killed":
            self.server_close()  # its port refuses
            return
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def config(self) -> str:
        """The text of its config file."""
        return f"uri: postgresql://golden:s3cret-Wort@127.0.0.1:{self.port}/bench\n"

    def close(self) -> None:
        self.closing.set()
        if self.fault != "database killed":
            self.shutdown()
            self.server_close()


class Connection(socketserver.BaseRequestHandler):
    """One connection, up to its refusal."""

    def handle(self) -> None:
        assert isinstance(self.server, Database) and isinstance(self.request, socket.socket)
        fault = self.server.fault
        if fault == "database silent":
            self.server.closing.wait()
        elif fault == "database says nonsense":
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
            self.server.closing.wait(0.2)
        elif fault in REFUSALS:
            with contextlib.suppress(OSError, struct.error):
                while self._startup_code() in ENCRYPTION_REQUESTS:
                    self.request.sendall(b"N")
                code, message = REFUSALS[fault]
                fields = f"SFATAL\0VFATAL\0C{code}\0M{message}\0\0".encode()
                self.request.sendall(b"E" + struct.pack(">I", len(fields) + 4) + fields)
                self.request.recv(1)

    def _startup_code(self) -> int:
        """The code of the next message of a client that connects."""
        size, code = struct.unpack(">II", self._exactly(8))
        self._exactly(size - 8)
        return int(code)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self.request.recv(size - len(data)) or b"\0" * size
        return data
