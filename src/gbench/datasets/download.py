"""Fetch one file of known size from a host that may be flaky: resumed where it broke off, and tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from gbench.base.files import cant_write, make_folder
from gbench.errors import InfrastructureError, UsageError

BY_HAND = "name a mirror with --url, or bring the archive by hand: fetch it elsewhere and pass it with --archive FILE"
CHUNK_BYTES = 1 << 18


class _Passing(Exception):
    """A failure that another attempt may not meet."""


def download(
    url: str,
    target: Path,
    expected_bytes: int,
    on_progress: Callable[[int], None] = lambda have_bytes: None,
    *,
    attempts: int = 5,
    backoff_s: float = 1.0,
    timeout_s: float = 30.0,
) -> None:
    """Bring `target` to `expected_bytes` from `url`, going on from what an earlier call left of it.

    Args:
        on_progress: called with the bytes that are there.
        attempts: how many in a row may bring nothing new; one that got further starts the count again.
        backoff_s: pause after a failed attempt, doubled with each that brought nothing.
        timeout_s: longest wait for the host to answer, or for its next bytes.

    Raises:
        UsageError: not an http or https address.
        InfrastructureError: the host can't be reached or refuses, the file has another size, or the disk refused.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url is '{url}'", "give an address that starts with http:// or https://")
    make_folder(target.parent)
    barren = furthest = 0
    while (have := _size_bytes(target)) != expected_bytes:
        try:
            _fetch_rest(url, target, have, expected_bytes, on_progress, timeout_s)
        except _Passing as failure:
            reached = _size_bytes(target)
            barren = 0 if reached > max(have, furthest) else barren + 1
            furthest = max(reached, furthest)
            if barren >= attempts:
                what = f"{url} can't be fetched ({failure})"
                raise InfrastructureError(what, f"try again later, {BY_HAND}") from failure
            time.sleep(backoff_s * 2 ** max(barren - 1, 0))


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(
    url: str, target: Path, have: int, expected_bytes: int, on_progress: Callable[[int], None], timeout_s: float
) -> None:
    """One attempt. Raises _Passing when it ended early."""
    if have > expected_bytes:
        have = 0
    request = Request(url, headers={"User-Agent": "gbench"} | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        with urlopen(request, timeout=timeout_s) as response:
            if response.status != 206:  # the host sends the file from its start
                have = 0
            total = _total_bytes(response, have)
            if total not in (None, expected_bytes):
                raise InfrastructureError(f"{url} has {total:,} bytes, expected {expected_bytes:,}", BY_HAND)
            for chunk in iter(lambda: response.read(CHUNK_BYTES), b""):
                _append(target, chunk, anew=have == 0)
                have += len(chunk)
                on_progress(have)
                if have > expected_bytes:
                    raise InfrastructureError(f"{url} has more than the expected {expected_bytes:,} bytes", BY_HAND)
    except HTTPError as error:
        if error.code == 416:  # what is there is no beginning of this file
            target.unlink(missing_ok=True)
        elif error.code not in (408, 429) and error.code < 500:
            raise InfrastructureError(f"{url} answers {error.code} {error.reason}", BY_HAND) from error
        raise _Passing(f"{error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _Passing(str(getattr(error, "reason", "") or error or type(error).__name__)) from error
    if have < expected_bytes:
        raise _Passing(f"broke off after {have:,} of {expected_bytes:,} bytes")


def _total_bytes(response: HTTPResponse, have: int) -> int | None:
    """The size of the whole file, where the host says it; None where it doesn't."""
    if response.status != 206:
        length = response.headers.get("Content-Length")
        return int(length) if length else None
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(have):
        raise _Passing(f"asked for bytes from {have} on, got {span or 'an unnamed part'}")
    return int(total) if total.isdigit() else None


def _append(target: Path, chunk: bytes, anew: bool) -> None:
    """Add to what is there, or with `anew` put it in its place: the file is at all times a beginning of the whole."""
    try:
        with target.open("wb" if anew else "ab") as file:
            file.write(chunk)
    except OSError as error:
        raise cant_write(target, error) from error
