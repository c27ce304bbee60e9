from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Any

import pytest

from gbench.datasets.download import download
from gbench.errors import InfrastructureError, UsageError

PAYLOAD = random.Random(0).randbytes(1_000_000)


def fetch(host: Any, target: Path, **options: Any) -> None:
    download(host.url, target, len(PAYLOAD), **{"attempts": 3, "backoff_s": 0.0, "timeout_s": 5.0, **options})


def test_whole_file_and_progress(host: Any, tmp_path: Path) -> None:
    host.payload = PAYLOAD
    seen: list[int] = []
    fetch(host, tmp_path / "f", on_progress=seen.append)
    assert (tmp_path / "f").read_bytes() == PAYLOAD
    assert seen == sorted(seen) and seen[-1] == len(PAYLOAD)
    assert host.requests == [None]


def test_goes_on_where_the_connection_broke(host: Any, tmp_path: Path) -> None:
    host.payload, host.drop_after = PAYLOAD, 300_000
    fetch(host, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == PAYLOAD
    assert host.requests == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_goes_on_from_an_earlier_call(host: Any, tmp_path: Path) -> None:
    host.payload = PAYLOAD
    (tmp_path / "f").write_bytes(PAYLOAD[:123_456])
    fetch(host, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == PAYLOAD
    assert host.requests == ["bytes=123456-"]


def test_host_without_ranges_starts_again(host: Any, tmp_path: Path) -> None:
    host.payload, host.ranges = PAYLOAD, False
    (tmp_path / "f").write_bytes(b"x" * 123_456)
    fetch(host, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == PAYLOAD


def test_more_than_the_file_starts_again(host: Any, tmp_path: Path) -> None:
    host.payload = PAYLOAD
    (tmp_path / "f").write_bytes(PAYLOAD + b"more")
    fetch(host, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == PAYLOAD
    assert host.requests == [None]


def test_passing_failures_are_tried_again(host: Any, tmp_path: Path) -> None:
    host.payload, host.failures = PAYLOAD, [503, 429]
    fetch(host, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == PAYLOAD


def test_gives_up_after_attempts_that_bring_nothing(host: Any, tmp_path: Path) -> None:
    host.payload, host.failures = PAYLOAD, [503] * 10
    with pytest.raises(InfrastructureError, match=r"503 .*--archive"):
        fetch(host, tmp_path / "f")
    assert len(host.requests) == 3


def test_a_refusal_is_final(host: Any, tmp_path: Path) -> None:
    host.failures = [404]
    with pytest.raises(InfrastructureError, match="answers 404"):
        fetch(host, tmp_path / "f")
    assert len(host.requests) == 1


@pytest.mark.parametrize("payload", [PAYLOAD[:-1], PAYLOAD + b"x", b"<html>please log in</html>"])
def test_wrong_size_is_refused_before_it_is_fetched(host: Any, tmp_path: Path, payload: bytes) -> None:
    host.payload = payload
    with pytest.raises(InfrastructureError, match=r"expected 1,000,000"):
        fetch(host, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_shorter_file_of_a_host_that_tells_no_sizes_is_given_up(host: Any, tmp_path: Path) -> None:
    host.payload, host.sizes = PAYLOAD[:-1], False
    with pytest.raises(InfrastructureError, match="can't be fetched"):
        fetch(host, tmp_path / "f")
    assert len(host.requests) < 10


def test_longer_file_of_a_host_that_tells_no_sizes_is_refused(host: Any, tmp_path: Path) -> None:
    host.payload, host.sizes = PAYLOAD + b"x", False
    with pytest.raises(InfrastructureError, match="more than the expected 1,000,000 bytes"):
        fetch(host, tmp_path / "f")


def test_unreachable_host_says_how_to_bring_the_archive(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/f.tar.gz"
    with pytest.raises(InfrastructureError, match="refused") as caught:
        download(url, tmp_path / "f", 10, attempts=2, backoff_s=0.0)
    assert url in caught.value.what
    assert "--archive FILE" in caught.value.hint and "--url" in caught.value.hint


def test_silent_host_runs_into_the_timeout(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/f.tar.gz"
        with pytest.raises(InfrastructureError, match="timed out"):
            download(url, tmp_path / "f", 10, attempts=1, backoff_s=0.0, timeout_s=0.2)


def test_other_schemes_are_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="file:///etc/passwd"):
        download("file:///etc/passwd", tmp_path / "f", 10)


def test_full_disk_is_not_taken_for_the_network(host: Any) -> None:
    host.payload = PAYLOAD
    with pytest.raises(InfrastructureError, match="No space left on device"):
        fetch(host, Path("/dev/full"))
    assert len(host.requests) == 1
