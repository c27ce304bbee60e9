"""Readers of files that others may have made get broken ones: each reads the file or refuses it in one sentence.

`make fuzz` searches for hours what this tries in seconds: tests/helpers/fuzz_search.py.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import read_bomb
from bombs import BOMBS
from fuzz_readers import READERS, corpus, write
from gbench.errors import GbenchError

# What breaks readers: numbers and texts that a format allows and a program does not expect, and broken structure.
TOKENS = [
    *(b"NaN", b"-Infinity", b"1e999", b"-0.0", b"9" * 400, b"0x1F", b"1_000", b"2026-02-30", b"null", b"true", b'""'),
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"\\",
        b"\n",
        b"\r",
        b"\x00",
        b"\x1b[31m",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
    ),
    *(b'"\\ud800"', b"&a [*a]", b"!!python/name:os.system", b"!!binary x", b"? [a]", b"- ", b": ", b"---\n", b"#"),
    *(b"[" * 120, b'{"a":' * 120, b"../", b"'", b"${HOME}", b"%", b"\xe2\x80\xae", b"version: 2", b'"version": 99'),
]


@st.composite
def broken(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with a few changes: parts replaced, inserted, cut out, repeated or taken from another seed."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 2, 4, 9, 30, 200, len(data)])))
        other = draw(st.sampled_from(seeds))
        new = draw(st.sampled_from([*TOKENS, data[start:end] * 2, other[start:end], b""]) | st.binary(max_size=8))
        data = data[:start] + new + data[end:]
    return data


@pytest.mark.parametrize("name", READERS)
def test_a_broken_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    @settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(data=broken(corpus(name)))
    def check(data: bytes) -> None:
        try:
            READERS[name].read(write(name, data, tmp_path))
        except GbenchError as error:
            assert error.what and error.hint
            assert "\n" not in str(error)

    check()


@pytest.mark.parametrize("name", READERS)
def test_what_once_broke_a_reader_no_longer_does(name: str, tmp_path: Path) -> None:
    for data in corpus(name):
        with suppress(GbenchError):
            READERS[name].read(write(name, data, tmp_path))


@pytest.mark.parametrize("name", READERS)
def test_seeds_are_valid(name: str, tmp_path: Path) -> None:
    seeds = READERS[name].seeds()
    assert seeds
    READERS[name].read(write(name, seeds[0], tmp_path))


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_bomb_takes_the_memory_of_this_machine(bomb: str, tmp_path: Path) -> None:
    """Every reader gets it, in a process that may not have more than 1.5 GiB."""
    program = Path(read_bomb.__file__)
    done = subprocess.run([sys.executable, program, bomb, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
