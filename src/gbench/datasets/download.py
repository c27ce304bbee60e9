"""Download one file of known size from an unreliable host: resume a partial file, and retry."""

import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from gbench.base.files import make_folder, without_waiting, write_errors
from gbench.base.whole import whole_number
from gbench.errors import InfrastructureError, UsageError

BY_HAND = "name a mirror with --url, or download the archive elsewhere and pass it with --archive FILE"
CHUNK_BYTES = 1 << 18


class _Retryable(Exception):
    """A failure that another attempt may avoid."""


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
    """Download `url` to `target` until it has `expected_bytes`, resuming a partial file.

    Args:
        on_progress: receives the number of bytes on disk.
        attempts: give up after so many in a row without progress.
        backoff_s: pause after a failed attempt, doubled with each one without progress.
        timeout_s: longest wait for the host's answer, or for its next bytes.

    Raises:
        UsageError: not an http or https address.
        InfrastructureError: the host can't be reached or refuses, the file has another size, or the disk refused.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url is '{url}'", "give an address that starts with http:// or https://")
    make_folder(target.parent)
    fruitless = furthest = 0
    while (have := _size_bytes(target)) != expected_bytes:
        try:
            _fetch_rest(url, target, have, expected_bytes, on_progress, timeout_s)
        except _Retryable as failure:
            reached = _size_bytes(target)
            fruitless = 0 if reached > max(have, furthest) else fruitless + 1
            furthest = max(reached, furthest)
            if fruitless >= attempts:
                what = f"{url} can't be fetched ({failure})"
                raise InfrastructureError(what, f"try again later, {BY_HAND}") from failure
            time.sleep(backoff_s * 2 ** max(fruitless - 1, 0))


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(
    url: str, target: Path, have: int, expected_bytes: int, on_progress: Callable[[int], None], timeout_s: float
) -> None:
    """One attempt. Raises _Retryable: it ended early."""
    if have > expected_bytes:
        have = 0
    request = Request(url, headers={"User-Agent": "gbench"} | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        with urlopen(request, timeout=timeout_s) as response:  # nosec B310
            if response.status != 206:  # the host sends the file from its start
                have = 0
            total = _total_bytes(response, have)
            if total not in (None, expected_bytes):
                raise InfrastructureError(f"{url} has {total:,} bytes, expected {expected_bytes:,}", BY_HAND)
            for chunk in iter(lambda: response.read(CHUNK_BYTES), b""):
                _write(target, chunk, "ab" if have else "wb")
                have += len(chunk)
                on_progress(have)
                if have > expected_bytes:
                    raise InfrastructureError(f"{url} has more than the expected {expected_bytes:,} bytes", BY_HAND)
    except HTTPError as error:
        if error.code == 416:  # the partial file is not a prefix of this one
            target.unlink(missing_ok=True)
        elif error.code not in (408, 429) and error.code < 500:
            raise InfrastructureError(f"{url} answers {error.code} {error.reason}", BY_HAND) from error
        raise _Retryable(f"{error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _Retryable(str(getattr(error, "reason", "") or error or type(error).__name__)) from error
    if have < expected_bytes:
        raise _Retryable(f"broke off after {have:,} of {expected_bytes:,} bytes")


def _total_bytes(response: HTTPResponse, have: int) -> int | None:
    """The size of the whole file; None if the host doesn't send it."""
    if response.status != 206:
        return whole_number(response.headers.get("Content-Length", ""))
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(have):
        raise _Retryable(f"asked for bytes from {have} on, got {span or 'an unnamed part'}")
    return whole_number(total)


def _write(target: Path, chunk: bytes, mode: Literal["ab", "wb"]) -> None:
    """Append to the file, or replace it; at any time it is a prefix of the whole."""
    with write_errors(target), open(target, mode, opener=without_waiting) as file:
        file.write(chunk)
