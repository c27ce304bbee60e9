from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import docker.credentials
import pynvml
import pytest
import requests
from PIL import Image, UnidentifiedImageError

from gbench.base.faults import as_expected
from gbench.base.files import cant_write
from gbench.errors import ExitCode


@pytest.mark.parametrize(
    ("error", "what", "hint"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/data"), "/data can't be used (Permission", "permissions"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "/x can't be used (No space", "free space there"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), "Too many open files", "ulimit -n"),
        (OSError(errno.EIO, "Input/output error"), "the system refused (Input/output error)", "dmesg"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", b"caf\xe9"), r"caf\xe9 can't be used", "removes"),
        (UnicodeEncodeError("utf-8", "/a/caf\udce9.png", 6, 7, "surrogates not allowed"), r"caf\xe9.png", "rename"),
        (docker.credentials.StoreError("no docker-credential-desktop"), "Docker failed (no docker-cred", "docker info"),
        (requests.ConnectionError("refused"), "Docker's engine did not answer", "docker info"),
        (pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST), "NVIDIA driver's library failed", "nvidia-smi"),
        (pynvml.NVMLLibraryMismatchError("old"), "NVIDIA driver's library failed (old)", "nvidia-smi"),
        (Image.DecompressionBombError("200000000 pixels"), "can't be decoded (200000000 pixels)", "fix or remove"),
        (UnidentifiedImageError("no image"), "an image can't be decoded (no image)", "fix or remove"),
        (UnicodeError("encoding with 'idna' codec failed (UnicodeError: label empty or too long)"), "host name", "fix"),
        (RuntimeError("Symlink loop from '/a'"), "Symlink loop from '/a'", "fix the link"),
        (MemoryError(), "no memory left", "free some"),
        (subprocess.TimeoutExpired(["git", "status"], 30), "git status gave no answer within 30 s", "waits for"),
    ],
)
def test_a_fault_that_is_no_bug(error: Exception, what: str, hint: str) -> None:
    expected = as_expected(error)
    assert expected is not None
    assert what in expected.what and hint in expected.hint
    assert expected.exit_code == ExitCode.INFRASTRUCTURE


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a"),
        ValueError("b"),
        RecursionError(),
        OSError(errno.EBADF, "Bad file descriptor"),
        UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"),
    ],
)
def test_a_bug(error: Exception) -> None:
    assert as_expected(error) is None


def test_a_removed_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        os.getcwd()  # noqa: PTH109
    assert str(as_expected(caught.value)) == "the working folder has been removed; go to another folder: cd"
    os.chdir(tmp_path)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.EACCES, "take a folder that you may write"),
        (errno.ENOSPC, "free space there"),
        (errno.EIO, "dmesg"),
        (errno.EROFS, "take a folder that you may write"),
        (errno.EMFILE, "ulimit -n"),
    ],
)
def test_what_to_do_about_a_file_that_cant_be_written(code: int, hint: str) -> None:
    assert hint in cant_write(Path("/x"), OSError(code, os.strerror(code), "/x")).hint
