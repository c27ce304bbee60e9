"""Small descriptions of files that need much memory, time or stack."""

from __future__ import annotations

from collections.abc import Callable

ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))

BOMBS: dict[str, Callable[[], bytes]] = {
    "aliases": lambda: f"a0: &a0 [{', '.join('x' * 9)}]\n{ALIASES}".encode(),
    "deep-json": lambda: b"[" * 1_000_000,
    "deep-object": lambda: b'{"a":' * 300_000,
    "deep-yaml": lambda: b"- " * 100_000,
    "long-line": lambda: b'{"version": 1, "a": "' + b"x" * 200_000_000 + b'"}\n',
    "long-number": lambda: b'{"version": ' + b"9" * 5_000_000 + b"}\n",
    "many-keys": lambda: b"{" + b",".join(b'"%d": 1' % n for n in range(1_000_000)) + b"}",
    "many-lines": lambda: b"x\n" * 5_000_000,
    "nothing-but-nul": lambda: b"\x00" * 50_000_000,
}
