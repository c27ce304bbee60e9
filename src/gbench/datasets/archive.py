"""Unpack an untrusted tar.gz: regular files and folders only, and none outside the target."""

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from gbench.base.files import taken_for
from gbench.errors import InfrastructureError


def extract(archive: Path, target: Path) -> None:
    """Unpack `archive` into the existing folder `target`: check it whole, then copy each member into a new file.

    So the archive's owners, modes, links and devices never reach the disk, on any Python version.

    Raises:
        InfrastructureError: the archive is damaged, or has a refused member (then nothing is written).
        OSError: writing failed.
    """
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            members = [(member, _safe_path(archive, member)) for member in tar]
            while stream.read(1 << 20):  # gzip's checksum comes after the end of the tar
                pass
            for member, path in members:
                _write(tar, member, target / path)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is None:  # gzip reports invalid data as a bare OSError
            raise _damaged(archive, error) from error
        raise


def _safe_path(archive: Path, member: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if not (member.isfile() or member.isdir()):
        reason = "is a link or a device"
    elif path.is_absolute() or ".." in path.parts:
        reason = "lies outside the target folder"
    else:
        return path
    raise InfrastructureError(
        f"{archive}: member '{member.name}' {reason}, so nothing was unpacked",
        "download the archive from its official address",
    )


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, destination: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        destination.mkdir(parents=True, exist_ok=True)
        return
    destination.parent.mkdir(parents=True, exist_ok=True)
    with source, destination.open("xb") as file:
        shutil.copyfileobj(source, file)


def _damaged(archive: Path, error: Exception) -> InfrastructureError:
    return InfrastructureError(
        f"{archive} is not a whole tar.gz ({taken_for(archive) or error})", "delete it and download it again"
    )
