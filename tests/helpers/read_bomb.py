"""Give a bomb to every reader, in a process of limited memory: read_bomb.py BOMB FOLDER. Prints what went wrong."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

MORE_BYTES = 1_500 * 2**20  # than the process has with everything imported


def address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def main(bomb: str, folder: Path) -> None:
    from bombs import BOMBS
    from fuzz_readers import READERS, write
    from gbench.errors import GbenchError

    data = BOMBS[bomb]()
    limit = address_space() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name, reader in READERS.items():
        path = write(name, data, folder)
        try:
            reader.read(path)
        except GbenchError:
            pass
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        path.unlink()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
