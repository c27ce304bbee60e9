from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from gbench.datasets.archive import extract
from gbench.errors import InfrastructureError


def pack(path: Path, *members: tarfile.TarInfo) -> Path:
    """A tar.gz of these members, each with its name as content; a good one goes first."""
    with tarfile.open(path, "w:gz") as tar:
        for member in (tarfile.TarInfo("good/1.txt"), *members):
            content = member.name.encode() if member.isfile() else b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o4777
    return info


def test_files_and_folders(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    extract(pack(tmp_path / "a.tar.gz", member("set", tarfile.DIRTYPE), member("set/sub/2.txt")), target)
    assert (target / "good/1.txt").read_text() == "good/1.txt"
    assert (target / "set/sub/2.txt").read_text() == "set/sub/2.txt"
    assert (target / "set/sub/2.txt").stat().st_mode & 0o7111 == 0  # not the archive's mode


@pytest.mark.parametrize(
    "evil",
    [
        member("../outside.txt"),
        member("good/../../outside.txt"),
        member("/tmp/outside.txt"),
        member("link", tarfile.SYMTYPE, "/etc"),
        member("hard", tarfile.LNKTYPE, "good/1.txt"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda evil: evil.name,
)
def test_refuses_and_writes_nothing(tmp_path: Path, evil: tarfile.TarInfo) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(InfrastructureError, match="nothing was unpacked") as caught:
        extract(pack(tmp_path / "a.tar.gz", evil), target)
    assert f"'{evil.name}'" in caught.value.what
    assert not list(target.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "out"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "checksum", "not gzip", "empty"])
def test_damaged_archive(tmp_path: Path, damage: str) -> None:
    archive = pack(tmp_path / "a.tar.gz", *(member(f"good/{n}.txt") for n in range(2, 200)))
    content = bytearray(archive.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    elif damage == "checksum":
        content[-6] ^= 1
    else:
        content = bytearray(b"<html>" if damage == "not gzip" else b"")
    archive.write_bytes(content)
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(InfrastructureError, match=r"a\.tar\.gz is not a whole tar\.gz"):
        extract(archive, target)
    assert not list(target.iterdir())
