"""An HTTP server that misbehaves on request."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Host:
    """Serves one payload at any path. Mutable: tests set how it behaves."""

    payload: bytes = b""
    url: str = ""
    sizes: bool = True  # whether Content-Length is given
    ranges: bool = True  # whether Range is honoured
    drop_after: int | None = None  # break the connection after so many bytes of a response
    failures: list[int] = field(default_factory=list)  # status codes to answer with first
    requests: list[str | None] = field(default_factory=list)  # the Range header of each request


@pytest.fixture
def host() -> Iterator[Host]:
    state = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append(wanted)
            if state.failures:
                self.send_error(state.failures.pop(0))
                return
            start = 0
            if wanted and state.ranges:
                match = re.fullmatch(r"bytes=(\d+)-", wanted)
                assert match is not None
                start = int(match[1])
                if start >= len(state.payload):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(state.payload) - 1}/{len(state.payload)}")
            else:
                self.send_response(200)
            body = state.payload[start:]
            if state.sizes:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # a download that fails to write leaves
                self.wfile.write(body if state.drop_after is None else body[: state.drop_after])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/facades.tar.gz"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
